"""AutoDrop: of epochs, with given settings or scaled ones, and of windows."""

import dataclasses

import optax

from autodrop_optax import autodrop_metrics, epoch_autodrop, windowed_autodrop
from experiments.errors import UserError
from experiments.schedules.schedule import Schedule, observed
from experiments.task.config import RunConfig
from experiments.task.options import EpochAutoDropOptions
from experiments.task.recipe import Recipe

# Windows in a run of the UAI paper on CIFAR: 70 to 105 drops, one every 12 to 14.
WINDOWS_PER_RUN = 1200


def dropped_by_autodrop(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, dropped where the angular velocity saturates."""
    return dropped(config.epoch_autodrop, recipe)


def scaled_epoch_autodrop(config: RunConfig, recipe: Recipe) -> Schedule:
    """As autodrop, with the demo's settings scaled to the length of the run."""
    return dropped(scaled_options(recipe.epochs, config.epoch_autodrop), recipe)


def scaled_options(epochs: int, options: EpochAutoDropOptions) -> EpochAutoDropOptions:
    """Returns the demo's settings, which are for 60 epochs, for a number of epochs.

    Times scale with the run, the change of the angle per epoch inversely: 60 epochs
    give threshold 0.4, delay 5 and window 12. An option that differs from the paper's
    has been given, and stays.
    """
    threshold = 0.4 * 60 / epochs
    scaled = {
        "threshold": threshold,
        "max_threshold": threshold,
        "drop_delay": max(1, round(epochs / 12)),
        "window": max(1, round(epochs / 5)),
    }
    paper = EpochAutoDropOptions()
    return dataclasses.replace(
        options,
        **{
            name: value
            for name, value in scaled.items()
            if getattr(options, name) == getattr(paper, name)
        },
    )


def epoch_autodrop_linear_decay(config: RunConfig, recipe: Recipe) -> Schedule:
    """As scaled_epoch_autodrop, times linear decay to zero over the run."""
    decay = optax.linear_schedule(1.0, 0.0, recipe.steps)
    return dropped(scaled_options(recipe.epochs, config.epoch_autodrop), recipe, decay)


def dropped(
    options: EpochAutoDropOptions,
    recipe: Recipe,
    factor: optax.Schedule | None = None,
) -> Schedule:
    """AutoDrop behind the recipe's optimizer.

    Args:
      options: its settings.
      recipe: of the run.
      factor: step -> what the rate is multiplied by besides; None: nothing.
    """
    rate = recipe.learning_rate
    if options.drop_factor is None:
        options = dataclasses.replace(options, drop_factor=recipe.drop_factor)
    try:
        link = epoch_autodrop(rate, **dataclasses.asdict(options))
    except ValueError as error:  # an option out of its range
        raise UserError(str(error)) from None
    # The link is last: it scales the whole update, as setting the rate by hand does.
    base = recipe.optimizer(rate if factor is None else lambda i: rate * factor(i))

    def learning_rate(opt_state, step):
        alpha = autodrop_metrics(opt_state)["learning_rate"]
        return alpha if factor is None else alpha * factor(step)

    return Schedule(optax.chain(base, link), learning_rate)


def dropped_by_windows(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, in many small drops, as windows of steps decide."""
    rate, options = recipe.learning_rate, config.windowed_autodrop
    window_steps = resolved(options.window_steps, recipe.steps)
    options = dataclasses.replace(options, window_steps=window_steps)
    try:
        link = windowed_autodrop(rate, **dataclasses.asdict(options))
    except ValueError as error:  # an option out of its range
        raise UserError(str(error)) from None

    def metrics(opt_state):
        (_, windows), _ = opt_state
        found = autodrop_metrics(windows)
        names = "num_drops", "window", "windows_since_drop"
        # The angles are those of epochs, as in all other runs.
        return autodrop_metrics(opt_state[1]) | {name: found[name] for name in names}

    return Schedule(
        optimizer=observed(optax.chain(recipe.optimizer(rate), link), rate),
        learning_rate=lambda state, _: autodrop_metrics(state[0])["learning_rate"],
        metrics=metrics,
    )


def resolved(window_steps: int | None, steps: int) -> int:
    """Returns the steps per window; by default as many windows as in the paper."""
    return (
        max(1, round(steps / WINDOWS_PER_RUN)) if window_steps is None else window_steps
    )
