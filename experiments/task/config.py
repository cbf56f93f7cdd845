"""The configuration of a run, and what of it the run depends on."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments.errors import UserError, choose
from experiments.schedules import name_of
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.schedule import Schedule, check_positive
from experiments.task.recipe import Recipe
from experiments.task.workloads import WORKLOADS


@dataclass(frozen=True)
class RunConfig:
    """A run. Everything in it derives from these values, bit for bit."""

    workload: str = "fashion_mnist_mlp"
    """Data, network and optimizer; `python -m experiments list` shows the choices."""
    schedule: Schedule = field(default_factory=EpochAutoDrop)
    """What drives the learning rate, with its options."""
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
    evaluate_at: Literal["every"] | tuple[int, ...] = "every"
    """Epochs after which the network is evaluated; after the last one it always is."""
    record_gradient_norms: bool = False
    """Keep the norms of the gradients, for `refined` to make its schedule of."""

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
        if self.schedule.requires.validation and not self.validation_fraction:
            raise UserError(
                f"the schedule {self.schedule_name} looks at the validation loss: give"
                " a validation_fraction, as 0.1."
            )

    @property
    def schedule_name(self) -> str:
        """The key of SCHEDULES."""
        return name_of(self.schedule)

    def evaluates(self, epoch: int) -> bool:
        """Whether the network is evaluated after an epoch, which counts from 1."""
        if self.evaluate_at == "every" or epoch == self.epochs:
            return True
        return epoch in self.evaluate_at

    def recipe(self, steps_per_epoch: int) -> Recipe:
        """Puts the configuration's choices in place of the workload's.

        Raises:
          UserError: there is no such workload; its rate belongs to another kind of
            optimizer.
        """
        workload = choose(WORKLOADS, "workload", self.workload)
        name = self.optimizer or workload.optimizer
        rate, decay = self.learning_rate, self.weight_decay
        if rate is None:
            if (name == "adamw") != (workload.optimizer == "adamw"):
                raise UserError(
                    f"the workload's rate, {workload.learning_rate:g}, is one for"
                    f" {workload.optimizer} and not for {name}: give a learning rate."
                )
            rate = workload.learning_rate
        return Recipe(
            optimizer_name=name,
            learning_rate=rate,
            momentum=workload.momentum,
            weight_decay=workload.weight_decay if decay is None else decay,
            batch_size=workload.batch_size,
            steps_per_epoch=steps_per_epoch,
            epochs=self.epochs,
            drop_factor=workload.drop_factor,
            milestones=workload.milestones,
            record_gradient_norms=self.record_gradient_norms,
        )

    def dependencies(self) -> dict[str, Any]:
        """Returns what the run depends on, but for its data.

        That is the values of this configuration in which what was left to the workload
        is filled in, and of all schedules the one that is named.
        """
        recipe = self.recipe(steps_per_epoch=0)
        return dataclasses.asdict(self) | {
            "optimizer": recipe.optimizer_name,
            "learning_rate": recipe.learning_rate,
            "momentum": recipe.momentum,
            "weight_decay": recipe.weight_decay,
            "batch_size": recipe.batch_size,
            "schedule": {
                "name": self.schedule_name,
                **dataclasses.asdict(self.schedule.filled(recipe)),
            },
        }

    def differences(self, recorded: dict[str, Any]) -> list[str]:
        """Returns what differs from the dependencies that a run has recorded.

        A value that is not in the record came after it: it counts as at its default,
        which is what the run did.

        Args:
          recorded: the dependencies of a run.

        Returns:
          An entry ``key: value there, value here`` for every key that differs.
        """
        recipe = self.recipe(steps_per_epoch=0)
        defaults: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(self)}
        plain = type(self.schedule)().filled(recipe)
        defaults["schedule"] = dataclasses.asdict(plain)
        return differences(self.dependencies(), recorded, defaults)


def differences(
    ours: dict[str, Any],
    recorded: dict[str, Any],
    defaults: dict[str, Any] | None = None,
) -> list[str]:
    """Returns what differs between two descriptions of a run.

    Args:
      ours: of this one.
      recorded: of the one that is there.
      defaults: for what is not in the record.

    Returns:
      An entry ``key: value there, value here`` for every key that differs.
    """
    mine, theirs = _flat(ours), _flat(defaults or {}) | _flat(recorded)
    return [
        f"{key}: {theirs.get(key)} there, {mine.get(key)} here"
        for key in sorted(mine | _flat(recorded))
        if mine.get(key) != theirs.get(key)
    ]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; tuples are lists, as in JSON."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
