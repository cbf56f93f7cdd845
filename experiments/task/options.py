"""Settings of the schedules that have some."""

from dataclasses import dataclass
from typing import Literal

from experiments.errors import UserError


@dataclass(frozen=True)
class EpochAutoDropOptions:
    """Arguments of `autodrop_optax.epoch_autodrop`; the defaults are the paper's."""

    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""
    min_learning_rate: float = 1e-4
    """Drops take the rate no lower."""
    threshold: float = 0.01
    """Degrees per epoch: smaller changes of the angular velocity are saturation."""
    max_threshold: float = 1.0
    """Degrees per epoch: a drop divides the threshold by drop_factor, up to this."""
    drop_delay: int = 20
    """Epochs from the trigger to the drop."""
    averaging: bool = True
    """At a drop, replace the parameters by their average over the delay."""
    window: int = 1
    """Epochs over which the change of the angular velocity is averaged."""
    retrigger: Literal["ignore", "restart"] = "ignore"
    """What saturation during the delay does."""
    anchor: Literal["after_averaging", "before_averaging"] = "after_averaging"
    """From where the step after an averaging is measured."""


@dataclass(frozen=True)
class WindowedAutoDropOptions:
    """Arguments of `autodrop_optax.windowed_autodrop`; the defaults are the paper's."""

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


@dataclass(frozen=True)
class MatchedExponentialOptions:
    """What windowed AutoDrop would do if it did not look: drops evenly spaced."""

    drop_factor: float = 0.95
    """What a drop multiplies the rate by."""
    num_drops: int | None = None
    """Spread evenly over the run; None: one every `windows_per_drop` windows."""
    windows_per_drop: int = 13
    """Windows between drops, without `num_drops`."""
    window_steps: int | None = None
    """Steps per window; None: a 1200th of the run's steps."""

    def __post_init__(self):
        if self.num_drops is not None and self.num_drops < 0:
            raise UserError(f"num_drops must be 0 or more, got {self.num_drops}.")
        for name in ("windows_per_drop", "window_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}.")


@dataclass(frozen=True)
class MultistepOptions:
    """The usual hand-made schedule."""

    milestones: tuple[float, ...] | None = None
    """Fractions of the run after which the rate drops; None: the workload's recipe."""
    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""


@dataclass(frozen=True)
class CyclicalOptions:
    """The rate up and down between two values (Smith 2017, "triangular2")."""

    min_fraction: float = 0.25
    """The lower rate as a fraction of the upper one, which is the recipe's."""
    cycles: float = 6.0
    """Cycles in the run; each halves the distance of the upper rate to the lower."""

    def __post_init__(self):
        check_fraction("cyclical.min_fraction", self.min_fraction)
        check_positive("cyclical.cycles", self.cycles)


@dataclass(frozen=True)
class RestartsOptions:
    """Cosine decay with warm restarts (Loshchilov and Hutter 2017)."""

    periods: int = 3
    """Decays in the run, each twice as long as the one before."""

    def __post_init__(self):
        check_positive("restarts.periods", self.periods)


@dataclass(frozen=True)
class WarmupStableDecayOptions:
    """Linear warm-up, the recipe's rate, linear decay to zero."""

    warmup: float = 0.05
    """Fraction of the run in which the rate rises."""
    decay: float = 0.2
    """Fraction of the run in which it falls."""

    def __post_init__(self):
        check_fraction("warmup_stable_decay.warmup", self.warmup)
        check_fraction("warmup_stable_decay.decay", self.decay)
        if self.warmup + self.decay > 1:
            raise UserError(
                f"warm-up and decay, {self.warmup} and {self.decay}, are longer than"
                " the run: their sum must be at most 1."
            )


@dataclass(frozen=True)
class PlateauOptions:
    """`optax.contrib.reduce_on_plateau` on the validation loss of each epoch."""

    drop_factor: float | None = None
    """What a drop multiplies the rate by; None: the workload's recipe."""
    patience: int = 5
    """Epochs without improvement before a drop."""
    rtol: float = 1e-4
    """Relative decrease of the loss that counts as improvement."""
    cooldown: int = 0
    """Epochs after a drop that do not count."""

    def __post_init__(self):
        if self.drop_factor is not None:
            check_fraction("plateau.drop_factor", self.drop_factor)
        check_positive("plateau.patience", self.patience)


@dataclass(frozen=True)
class ScheduleFreeOptions:
    """`optax.contrib.schedule_free` (Defazio et al. 2024)."""

    sgd_rate_factor: float = 10.0
    """Of the recipe's rate: their SGD has no momentum buffer to add to it. They advise
    10 to 50 times the usual rate."""
    adamw_rate: float = 2.5e-3
    """The rate of the AdamW form; their default."""
    warmup: float = 0.05
    """Fraction of the run in which the rate rises."""

    def __post_init__(self):
        check_positive("schedule_free.sgd_rate_factor", self.sgd_rate_factor)
        check_positive("schedule_free.adamw_rate", self.adamw_rate)
        check_fraction("schedule_free.warmup", self.warmup)


@dataclass(frozen=True)
class RefinedOptions:
    """Arguments of `refinement.refine_schedule`, and where the norms are."""

    first_run: str | None = None
    """Folder of a finished run of the same task with record_gradient_norms. Part of the
    configuration: a run whose first run has moved is another one."""
    smoothing: float = 0.1
    """Width of the median filter over the norms, as a fraction of the run."""


def check_fraction(name: str, value: float) -> None:
    """Raises a UserError unless a value is from 0 to 1."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} must be from 0 to 1, got {value}.")


def check_positive(name: str, value: float) -> None:
    """Raises a UserError unless a value is above 0."""
    if not value > 0:
        raise UserError(f"{name} must be above 0, got {value}.")
