"""A schedule made of the gradient norms of a first run."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from autodrop_optax.refinement import refine_schedule
from experiments.errors import UserError
from experiments.run.gradient_norms import read_gradient_norms
from experiments.schedules.schedule import (
    Requirements,
    Schedule,
    ScheduledOptimizer,
    follow,
)
from experiments.task.optimizers import norm_of
from experiments.task.recipe import Recipe


@dataclass(frozen=True)
class Refined(Schedule):
    """The recipe's rate times the schedule refined by a first run's gradient norms.

    Defazio et al., "When, Why and How Much? Adaptive Learning Rate Scheduling by
    Refinement", 2023.
    """

    first_run: str | None = None
    """Folder of a finished run of the same task with record_gradient_norms. Part of the
    configuration: a run whose first run has moved is another one."""
    smoothing: float = 0.1
    """Width of the median filter over the norms, as a fraction of the run."""

    source: ClassVar = "Defazio et al. 2023"
    requires: ClassVar = Requirements(rate=True, total_steps=True, first_run=True)

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """Reads the norms.

        Raises:
          UserError: no first run is named, or it has no norms to refine by.
        """
        if self.first_run is None:
            raise UserError(
                "the schedule refined is made of a first run: name its folder with"
                " --schedule.first-run."
            )
        factor = refine_schedule(
            read_gradient_norms(Path(self.first_run)),
            optimizer="adam" if norm_of(recipe.optimizer_name) == "l1" else "sgd",
            smoothing=self.smoothing,
            num_steps=recipe.steps,
        )
        return follow(lambda step: recipe.learning_rate * factor(step), recipe)
