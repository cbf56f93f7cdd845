"""A schedule made of the gradient norms of a first run."""

from pathlib import Path

from autodrop_optax.refinement import refine_schedule
from experiments.errors import UserError
from experiments.run.record import read_gradient_norms
from experiments.schedules.schedule import Schedule, follow
from experiments.task.config import RunConfig
from experiments.task.optimizers import norm_of
from experiments.task.recipe import Recipe


def refined(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate times the schedule refined by a first run's gradient norms.

    Defazio et al., "When, Why and How Much? Adaptive Learning Rate Scheduling by
    Refinement", 2023.

    Raises:
      UserError: no first run is named, or it has no norms to refine by.
    """
    options = config.refined
    if options.first_run is None:
        raise UserError(
            "the schedule refined is made of a first run: name its folder as"
            " refined.first-run."
        )
    norms = read_gradient_norms(Path(options.first_run))
    try:
        factor = refine_schedule(
            norms,
            optimizer="adam" if norm_of(recipe.optimizer_name) == "l1" else "sgd",
            smoothing=options.smoothing,
            num_steps=recipe.steps,
        )
    except ValueError as error:  # an option out of its range, or the norms
        raise UserError(str(error)) from None
    return follow(lambda step: recipe.learning_rate * factor(step), recipe)
