"""AutoDrop of windows of steps: the method of Wang et al. 2024."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
import optax

from autodrop_optax import autodrop_metrics, end_epoch, windowed_autodrop
from experiments.schedules.schedule import (
    RATE_AND_STEPS,
    Schedule,
    ScheduledOptimizer,
    observed,
)
from experiments.task.recipe import Recipe

# Windows in a run of the UAI paper on CIFAR: 70 to 105 drops, one every 12 to 14.
WINDOWS_PER_RUN = 1200


def scaled_window(steps: int) -> int:
    """Steps per window for as many windows as in the paper."""
    return max(1, round(steps / WINDOWS_PER_RUN))


@dataclass(frozen=True)
class WindowedAutoDrop(Schedule):
    """The recipe's rate, in many small drops, as windows of steps decide.

    Arguments of `autodrop_optax.windowed_autodrop`; the defaults are the paper's.
    """

    window_steps: int | None = 64
    """Steps per window; None: a 1200th of the run's steps, as in the paper's runs."""
    drop_factor: float = 0.95
    """What a drop multiplies the rate by."""
    buffer_size: int = 10
    """Angles that are smoothed, and that must come between drops."""
    threshold: float = 0.1
    """Degrees per window: a smaller rise of the smoothed angle is saturation."""
    min_learning_rate: float = 1e-4
    """Drops take the rate no lower."""
    smoothing: Literal["time", "value"] = "time"
    """What the Gaussian lies over that smooths the angles."""
    two_sided: bool = False
    """Whether a fall of the smoothed angle is no saturation."""
    sample_every: int = 1
    """Steps from one sample of the parameters to the next."""

    source: ClassVar = "Wang et al. 2024"
    requires: ClassVar = RATE_AND_STEPS
    copies: ClassVar = 4

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        rate = recipe.learning_rate
        options = dataclasses.asdict(self)
        if self.window_steps is None:
            options["window_steps"] = scaled_window(recipe.steps)
        link = windowed_autodrop(rate, **options)

        def metrics(opt_state):
            (_, windows), epochs = opt_state
            found = autodrop_metrics(windows)
            # The angles are those of epochs, as in all other runs.
            names = "num_drops", "window", "windows_since_drop"
            metrics = autodrop_metrics(epochs) | {name: found[name] for name in names}
            return metrics | {"window_steps": jnp.int32(options["window_steps"])}

        return ScheduledOptimizer(
            optimizer=observed(optax.chain(recipe.optimizer(rate), link), recipe),
            learning_rate=lambda state, _: autodrop_metrics(state[0])["learning_rate"],
            metrics=metrics,
            end_epoch=end_epoch,
        )
