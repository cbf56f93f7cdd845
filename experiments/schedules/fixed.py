"""Rates that are functions of the step: nothing is looked at."""

import jax
import jax.numpy as jnp
import optax

from experiments.schedules.autodrop import resolved
from experiments.schedules.schedule import Schedule, follow, observed
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe


def constant(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate throughout."""
    del config
    rate = recipe.learning_rate
    return Schedule(
        optimizer=observed(recipe.optimizer(rate), rate),
        learning_rate=lambda _, __: jnp.float32(rate),
    )


def multistep(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, dropped after fixed fractions of the run."""
    options = config.multistep
    milestones = options.milestones
    if milestones is None:
        milestones = recipe.milestones
    factor = options.drop_factor
    if factor is None:
        factor = recipe.drop_factor
    scales: dict[int, float] = {}
    for fraction in milestones:
        step = round(fraction * recipe.epochs) * recipe.steps_per_epoch
        # In a very short run two milestones may fall on one epoch: then both count.
        scales[step] = scales.get(step, 1.0) * factor
    return follow(
        optax.piecewise_constant_schedule(recipe.learning_rate, scales), recipe
    )


def matched_exponential(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, in many small drops evenly spaced: windows without a look."""
    options = config.matched_exponential
    if options.num_drops is not None:
        every = recipe.steps / (options.num_drops + 1)
    else:
        window_steps = resolved(options.window_steps, recipe.steps)
        every = options.windows_per_drop * window_steps

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        drops = jnp.floor(jnp.asarray(step, jnp.float32) / every)
        return recipe.learning_rate * jnp.float32(options.drop_factor) ** drops

    return follow(rate, recipe)


def linear_decay(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, linearly to zero over the run."""
    del config
    return follow(
        optax.linear_schedule(recipe.learning_rate, 0.0, recipe.steps), recipe
    )


def cosine(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, to zero along half a cosine."""
    del config
    return follow(
        optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps), recipe
    )


def cosine_restarts(config: RunConfig, recipe: Recipe) -> Schedule:
    """Cosine decays with warm restarts, each twice as long as the last."""
    periods = config.restarts.periods
    parts = [2**i / (2**periods - 1) for i in range(periods)]
    return follow(
        optax.sgdr_schedule(
            [
                {
                    "init_value": recipe.learning_rate,
                    "peak_value": recipe.learning_rate,
                    "warmup_steps": 0,
                    "decay_steps": max(1, round(part * recipe.steps)),
                    "end_value": 0.0,
                }
                for part in parts
            ]
        ),
        recipe,
    )


def cyclical(config: RunConfig, recipe: Recipe) -> Schedule:
    """The rate up and down between two values, the range halved in each cycle.

    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017: the policy
    "triangular2". The recipe's rate is the upper one.
    """
    options = config.cyclical
    upper = recipe.learning_rate
    lower = options.min_fraction * upper
    cycle_steps = recipe.steps / options.cycles

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        cycles = jnp.asarray(step, jnp.float32) / cycle_steps
        number = jnp.floor(cycles)
        height = 1.0 - jnp.abs(2.0 * (cycles - number) - 1.0)
        return lower + (upper - lower) * height * 0.5**number

    return follow(rate, recipe)


def one_cycle(config: RunConfig, recipe: Recipe) -> Schedule:
    """Up to the recipe's rate and down to nearly zero, along cosines.

    Smith and Topin, "Super-Convergence", 2018, with optax's fractions; the momentum
    stays as it is.
    """
    del config
    return follow(
        optax.cosine_onecycle_schedule(recipe.steps, recipe.learning_rate), recipe
    )


def warmup_stable_decay(config: RunConfig, recipe: Recipe) -> Schedule:
    """Linear warm-up, the recipe's rate, linear decay to zero.

    Hu et al., "MiniCPM", 2024; Hägele et al., "Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations", 2024.
    """
    options, rate = config.warmup_stable_decay, recipe.learning_rate
    warmup = round(options.warmup * recipe.steps)
    decay = round(options.decay * recipe.steps)
    schedule = optax.join_schedules(
        [
            optax.linear_schedule(0.0, rate, warmup),
            optax.linear_schedule(rate, 0.0, decay),
        ],
        [recipe.steps - decay],
    )
    return follow(schedule, recipe)
