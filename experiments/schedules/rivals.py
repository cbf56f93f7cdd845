"""Published rules for the rate, and optimizers that need none, with their defaults.

What a paper leaves to the task is set by the recipe, or by a constant here.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import autodrop_metrics
from experiments.schedules import abel as abel_rule
from experiments.schedules import distance as distance_rule
from experiments.schedules import pflug as pflug_rule
from experiments.schedules import sasa as sasa_rule
from experiments.schedules._hypergradient import hypergradient
from experiments.schedules.momo import recorded_momo
from experiments.schedules.schedule import Schedule, observe_apart
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe

# Of the multiplicative rule.
HYPERGRADIENT_RATE = 1e-3
# ABEL's last decay, as a fraction of the run.
LAST_DECAY = 0.85
# SASA+ tests once per epoch, but at least this often, in steps.
MOST_STEPS_BETWEEN_TESTS = 1000


class Rival(NamedTuple):
    """An optimizer with its rate and its drops, each read off its state."""

    optimizer: optax.GradientTransformation
    learning_rate: Callable[[Any], jax.Array]
    num_drops: Callable[[Any], jax.Array] | None = None


def hypergradient_times(recipe: Recipe) -> Rival:
    """The rate by gradient descent on itself (Baydin et al. 2018), multiplicative.

    It is moved by a cosine, which has no scale, so that all optimizers have one factor.
    """
    optimizer = hypergradient(
        recipe.optimizer(1.0),
        recipe.learning_rate,
        hypergradient_rate=HYPERGRADIENT_RATE,
        rule="multiplicative",
        weight_decay=penalty(recipe),
    )
    return Rival(optimizer, lambda state: state.learning_rate)


def pflug(recipe: Recipe) -> Rival:
    """The rate halved where successive gradients disagree (Pflug 1990).

    The burn-in, which the papers tune, is an epoch.
    """
    rate = recipe.learning_rate
    return Rival(
        pflug_rule.pflug(recipe.optimizer(rate), burn_in=recipe.steps_per_epoch),
        lambda state: rate * state.scale,
        lambda state: state.num_drops,
    )


def distance(recipe: Recipe) -> Rival:
    """The rate halved where the parameters no longer get away (Pesme et al. 2020)."""
    return behind(distance_rule.distance_diagnostic(), recipe)


def sasa(recipe: Recipe) -> Rival:
    """A tenth of the rate where the squared norm has no trend (Zhang et al. 2020)."""
    every = min(MOST_STEPS_BETWEEN_TESTS, recipe.steps_per_epoch)
    return behind(sasa_rule.sasa_plus(test_every=every), recipe)


def sasa_halves(recipe: Recipe) -> Rival:
    """As sasa, with the stricter test of the authors' program."""
    every = min(MOST_STEPS_BETWEEN_TESTS, recipe.steps_per_epoch)
    return behind(sasa_rule.sasa_plus(test_every=every, test="halves"), recipe)


def abel(recipe: Recipe) -> Rival:
    """The rate dropped after the weights' norm bounced (Lewkowycz 2021)."""
    link = abel_rule.abel(
        recipe.steps_per_epoch,
        last_decay_epoch=max(1, round(LAST_DECAY * recipe.epochs)),
        decay_factor=recipe.drop_factor,
    )
    return behind(link, recipe)


def behind(link: optax.GradientTransformation, recipe: Recipe) -> Rival:
    """The recipe's optimizer with a link that scales its updates."""
    rate = recipe.learning_rate
    return Rival(
        optax.chain(recipe.optimizer(rate), link),
        lambda state: rate * state[1].scale,
        lambda state: state[1].num_drops,
    )


def prodigy(recipe: Recipe) -> Rival:
    """Adam at an estimated rate (Mishchenko and Defazio 2023), constant factor 1."""
    return Rival(
        with_decay(optax.contrib.prodigy, recipe), lambda state: state[1].estim_lr
    )


def dadapt_adamw(recipe: Recipe) -> Rival:
    """Adam by D-Adaptation (Defazio and Mishchenko 2023), constant factor 1."""
    return Rival(
        with_decay(optax.contrib.dadapt_adamw, recipe), lambda state: state[1].estim_lr
    )


def with_decay(
    make: Callable[..., optax.GradientTransformation], recipe: Recipe
) -> optax.GradientTransformation:
    """An Adam with the recipe's weight decay, of the recipe's kind."""
    l2 = penalty(recipe)
    return optax.chain(
        optax.add_decayed_weights(l2), make(weight_decay=recipe.weight_decay - l2)
    )


def penalty(recipe: Recipe) -> float:
    """The coefficient of an l2 penalty.

    AdamW's decay is none: it is no part of the gradient, and its size is that of a
    factor of the rate. What knows only penalties goes without one.
    """
    return 0.0 if recipe.optimizer_name == "adamw" else recipe.weight_decay


def dog(recipe: Recipe) -> Rival:
    """SGD at distance over gradients (Ivgi et al. 2023), without their averaging."""

    def rate(state):
        state = state[1]
        return state.max_dist / jnp.sqrt(state.sum_sq_norm_grads + 1e-8)

    return Rival(optax.contrib.dog(weight_decay=penalty(recipe)), rate)


def dowg(recipe: Recipe) -> Rival:
    """SGD at distance over weighted gradients (Khaled et al. 2023)."""

    def rate(state):
        state = state[1]
        return state.estim_sq_dist / (jnp.sqrt(state.weighted_sq_norm_grads) + 1e-4)

    return Rival(optax.contrib.dowg(weight_decay=penalty(recipe)), rate)


def mechanic(recipe: Recipe) -> Rival:
    """The recipe's optimizer at a learned scale (Cutkosky et al. 2023)."""
    return Rival(
        optax.contrib.mechanize(recipe.optimizer(1.0)), lambda state: jnp.sum(state.s)
    )


def momo(recipe: Recipe) -> Rival:
    """SGD with momentum at a Polyak step, at most 1 (Schaipp et al. 2023)."""
    return Rival(
        recorded_momo(beta=recipe.momentum, weight_decay=penalty(recipe)),
        lambda state: state.learning_rate,
    )


def cocob(recipe: Recipe) -> Rival:
    """Coin betting (Orabona and Tommasi 2017); its rate is a mean over parameters.

    It is what a parameter moves per unit of its summed gradients, and has no meaning
    before the first step.
    """
    alpha = 100.0  # the default, which the state does not have

    def rate(state):
        state = state[2]

        def summed(scale, subgradients, reward):
            fraction = scale * jnp.maximum(subgradients + scale, alpha * scale)
            return jnp.sum((scale + reward) / fraction)

        sums = jax.tree.map(summed, state.scale, state.subgradients, state.reward)
        number = sum(x.size for x in jax.tree.leaves(state.scale))
        return jax.tree.reduce(jnp.add, sums) / number

    optimizer = optax.contrib.cocob(alpha=alpha, weight_decay=penalty(recipe))
    return Rival(optimizer, rate)


RIVALS: dict[str, Callable[[Recipe], Rival]] = {
    make.__name__: make
    for make in (
        hypergradient_times,
        pflug,
        distance,
        sasa,
        sasa_halves,
        abel,
        prodigy,
        dadapt_adamw,
        dog,
        dowg,
        mechanic,
        momo,
        cocob,
    )
}


def scheduled(
    make: Callable[[Recipe], Rival],
) -> Callable[[RunConfig, Recipe], Schedule]:
    """Makes an entry of the table of schedules. What is recorded is the last rate."""

    @functools.wraps(make)
    def build(config: RunConfig, recipe: Recipe) -> Schedule:
        del config
        rival = make(recipe)
        schedule = observe_apart(
            with_own_state(rival.optimizer),
            lambda state, _: rival.learning_rate(state),
            recipe,
        )
        if (num_drops := rival.num_drops) is None:
            return schedule
        return schedule._replace(
            metrics=lambda state: (
                autodrop_metrics(state.observer)
                | {"num_drops": num_drops(state.optimizer)}
            )
        )

    return build


def with_own_state(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose state shares no array with the parameters, or with itself.

    Several of optax.contrib keep the very parameters that `init` is given, or one array
    in two places: then the state cannot be donated together with the parameters.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    return optax.GradientTransformationExtraArgs(
        lambda params: jax.tree.map(jnp.copy, optimizer.init(params)), optimizer.update
    )
