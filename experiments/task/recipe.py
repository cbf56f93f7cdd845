"""How a run trains, before anything is said about the course of its rate."""

from collections.abc import Callable
from dataclasses import dataclass

import optax

from autodrop_optax.refinement import record_gradient_norms
from experiments.errors import UserError, choose
from experiments.task.config import RunConfig
from experiments.task.optimizers import OPTIMIZERS, LearningRate, norm_of
from experiments.task.workloads import Workload


@dataclass(frozen=True)
class Recipe:
    """A workload's recipe with what a configuration changes in it."""

    learning_rate: float  # the initial one
    optimizer_name: str  # of OPTIMIZERS
    optimizer: Callable[[LearningRate], optax.GradientTransformation]
    momentum: float
    weight_decay: float
    steps_per_epoch: int
    epochs: int
    # What the usual hand-made schedule does, and AutoDrop's factor.
    drop_factor: float
    milestones: tuple[float, ...]  # fractions of the run

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.epochs * self.steps_per_epoch

    @classmethod
    def of(
        cls, config: RunConfig, workload: Workload, steps_per_epoch: int
    ) -> "Recipe":
        """Puts the configuration's choices in place of the workload's.

        Raises:
          UserError: the workload's rate belongs to another kind of optimizer.
        """
        name = config.optimizer or workload.optimizer
        make = choose(OPTIMIZERS, "optimizer", name)
        rate = config.learning_rate
        if rate is None:
            if (name == "adamw") != (workload.optimizer == "adamw"):
                raise UserError(
                    f"the workload's rate, {workload.learning_rate:g}, is one for"
                    f" {workload.optimizer} and not for {name}: give a learning rate."
                )
            rate = workload.learning_rate
        decay = config.weight_decay
        if decay is None:
            decay = workload.weight_decay

        def optimizer(rate: LearningRate) -> optax.GradientTransformation:
            base = make(rate, workload.momentum, decay)
            if not config.record_gradient_norms:
                return base
            # In front, where the gradients come in.
            return optax.chain(record_gradient_norms(norm_of(name)), base)

        return cls(
            learning_rate=rate,
            optimizer_name=name,
            optimizer=optimizer,
            momentum=workload.momentum,
            weight_decay=decay,
            steps_per_epoch=steps_per_epoch,
            epochs=config.epochs,
            drop_factor=workload.drop_factor,
            milestones=workload.milestones,
        )
