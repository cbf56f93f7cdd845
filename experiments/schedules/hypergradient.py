"""The rate trained along with the parameters."""

from experiments.schedules._hypergradient import (
    authors_hypergradient_rate,
    hypergradient,
)
from experiments.schedules.rivals import penalty
from experiments.schedules.schedule import Schedule, observed
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe


def hypergradient_descent(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, changed in each step by its own gradient."""
    del config
    optimizer = hypergradient(
        recipe.optimizer(1.0),
        recipe.learning_rate,
        hypergradient_rate=authors_hypergradient_rate(recipe.optimizer_name),
        weight_decay=penalty(recipe),
    )
    return Schedule(
        optimizer=observed(optimizer, recipe.learning_rate),
        learning_rate=lambda state, _: state[0].learning_rate,
    )
