"""A training recipe: everything of a run's optimizer but the course of its rate."""

from dataclasses import dataclass

import optax

from autodrop_optax.refinement import record_gradient_norms
from experiments.task.optimizers import OPTIMIZERS, LearningRate, norm_of


@dataclass(frozen=True)
class Recipe:
    """A workload's recipe with what a configuration changes in it."""

    optimizer_name: str  # of OPTIMIZERS
    learning_rate: float  # the initial one
    momentum: float
    weight_decay: float
    batch_size: int
    steps_per_epoch: int
    epochs: int
    # What the usual hand-made schedule does; the factor is epoch_autodrop's too.
    drop_factor: float
    milestones: tuple[float, ...]  # fractions of the run
    record_gradient_norms: bool = False

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def penalty(self) -> float:
        """The coefficient of an l2 penalty.

        AdamW's decay is none: it is no part of the gradient, and its size is that of a
        factor of the rate. What knows only penalties goes without one.
        """
        return 0.0 if self.optimizer_name == "adamw" else self.weight_decay

    def optimizer(self, rate: LearningRate) -> optax.GradientTransformation:
        """Makes the optimizer at a rate."""
        make = OPTIMIZERS[self.optimizer_name]
        base = make(rate, self.momentum, self.weight_decay)
        if not self.record_gradient_norms:
            return base
        # In front, where the gradients come in.
        norms = record_gradient_norms(norm_of(self.optimizer_name))
        return optax.chain(norms, base)
