"""What defines a run."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments.errors import UserError
from experiments.task.options import (
    CyclicalOptions,
    EpochAutoDropOptions,
    MatchedExponentialOptions,
    MultistepOptions,
    PlateauOptions,
    RefinedOptions,
    RestartsOptions,
    ScheduleFreeOptions,
    WarmupStableDecayOptions,
    WindowedAutoDropOptions,
    check_positive,
)


@dataclass(frozen=True)
class RunConfig:
    """A run. Everything in it derives from these values, bit for bit."""

    workload: str = "fashion_mnist_mlp"
    """Data, network and optimizer; `python -m experiments list` shows the choices."""
    schedule: str = "epoch_autodrop"
    """What drives the learning rate; `list` shows the choices."""
    epochs: int = 60
    """Passes over the training examples."""
    seed: int = 0
    """Of the initial parameters and of the order of the examples."""
    optimizer: Literal["sgd", "nesterov", "adamw"] | None = None
    """What the rate is given to; None: the workload's recipe."""
    learning_rate: float | None = None
    """The initial rate; None: the workload's recipe."""
    weight_decay: float | None = None
    """None: the workload's recipe."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; parameters and losses are float32 either way."""
    validation_fraction: float = 0.0
    """Of the training examples, the last: held out, to be looked at at will."""
    record_gradient_norms: bool = False
    """Keep the norms of the gradients, for `refined` to make its schedule of."""
    epoch_autodrop: EpochAutoDropOptions = field(default_factory=EpochAutoDropOptions)
    """Settings of the schedule `epoch_autodrop`."""
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
    cyclical: CyclicalOptions = field(default_factory=CyclicalOptions)
    """Settings of the schedule `cyclical`."""
    restarts: RestartsOptions = field(default_factory=RestartsOptions)
    """Settings of the schedule `cosine_restarts`."""
    warmup_stable_decay: WarmupStableDecayOptions = field(
        default_factory=WarmupStableDecayOptions
    )
    """Settings of the schedule `warmup_stable_decay`."""
    plateau: PlateauOptions = field(default_factory=PlateauOptions)
    """Settings of the schedule `plateau`."""
    schedule_free: ScheduleFreeOptions = field(default_factory=ScheduleFreeOptions)
    """Settings of the schedules `schedule_free_sgd` and `schedule_free_adamw`."""
    refined: RefinedOptions = field(default_factory=RefinedOptions)
    """Settings of the schedule `refined`."""

    def __post_init__(self):
        if self.epochs < 1:
            raise UserError(f"epochs must be at least 1, got {self.epochs}.")
        if self.learning_rate is not None:
            check_positive("learning_rate", self.learning_rate)
        if not 0 <= self.validation_fraction < 1:
            raise UserError(
                "validation_fraction must be at least 0 and less than 1, got"
                f" {self.validation_fraction}."
            )


def config_differences(config: RunConfig, recorded: dict[str, Any]) -> list[str]:
    """Returns what differs between a configuration and the content of a config.json.

    An option that is not in the record came after it: it counts as at its default,
    which is what the run did.
    """
    defaults = dataclasses.asdict(RunConfig())
    return differences(dataclasses.asdict(config), recorded, defaults)


def differences(
    ours: dict[str, Any],
    recorded: dict[str, Any],
    defaults: dict[str, Any] | None = None,
) -> list[str]:
    """Returns what differs between a configuration and a recorded one.

    Args:
      ours: a configuration, as ``dataclasses.asdict`` gives it.
      recorded: the content of a run's config.json or workload.json.
      defaults: for what is not in the record.

    Returns:
      An entry ``key: recorded value there, value here`` for every key that differs.
    """
    # Through JSON, in which a tuple is a list.
    ours = _flat(json.loads(json.dumps(ours)))
    theirs = _flat(json.loads(json.dumps(defaults or {}))) | _flat(recorded)
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
