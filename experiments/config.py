"""What defines a run."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments.errors import UserError


@dataclass(frozen=True)
class AutoDropOptions:
    """Arguments of `autodrop_optax.autodrop`; the defaults are the paper's."""

    drop_factor: float = 0.2
    """What a drop multiplies the rate by."""
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

    milestones: tuple[float, ...] = (0.3, 0.6, 0.8)
    """Fractions of the run after which the rate drops."""
    drop_factor: float = 0.2
    """What a drop multiplies the rate by."""


@dataclass(frozen=True)
class RunConfig:
    """A run. Everything in it derives from these values, bit for bit."""

    workload: str = "fashion_mnist_mlp"
    """Data, network and optimizer; `python -m experiments list` shows the choices."""
    schedule: str = "autodrop"
    """What drives the learning rate; `list` shows the choices."""
    epochs: int = 60
    """Passes over the training images."""
    seed: int = 0
    """Of the initial parameters and of the order of the images."""
    autodrop: AutoDropOptions = field(default_factory=AutoDropOptions)
    """Settings of the schedule `autodrop`."""
    multistep: MultistepOptions = field(default_factory=MultistepOptions)
    """Settings of the schedule `multistep`."""
    windowed_autodrop: WindowedAutoDropOptions = field(
        default_factory=WindowedAutoDropOptions
    )
    """Settings of the schedule `windowed_autodrop`."""
    matched_exponential: MatchedExponentialOptions = field(
        default_factory=MatchedExponentialOptions
    )
    """Settings of the schedule `matched_exponential`."""

    def __post_init__(self):
        if self.epochs < 1:
            raise UserError(f"epochs must be at least 1, got {self.epochs}.")


def differences(ours: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Returns what differs between a configuration and a recorded one.

    Args:
      ours: a configuration, as ``dataclasses.asdict`` gives it.
      recorded: the content of a run's config.json.

    Returns:
      An entry ``key: recorded value there, value here`` for every key that differs.
    """
    # Through JSON, in which a tuple is a list.
    ours = _flat(json.loads(json.dumps(ours)))
    theirs = _flat(recorded)
    return [
        f"{key}: {theirs.get(key)} there, {ours.get(key)} here"
        for key in sorted(ours | theirs)
        if ours.get(key) != theirs.get(key)
    ]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
