"""The rate trained along with the parameters."""

from experiments.config import RunConfig
from experiments.recipe import Recipe
from experiments.rivals.hypergradient import authors_rate, hypergradient
from experiments.schedules.schedule import Schedule, observed


def hypergradient_descent(config: RunConfig, recipe: Recipe) -> Schedule:
    """The recipe's rate, changed in each step by its own gradient."""
    del config
    optimizer = hypergradient(
        recipe.optimizer(1.0),
        recipe.learning_rate,
        hypergradient_rate=authors_rate(recipe.optimizer_name),
        # AdamW's decay is no part of the gradient.
        weight_decay=0.0 if recipe.optimizer_name == "adamw" else recipe.weight_decay,
    )
    return Schedule(
        optimizer=observed(optimizer, recipe.learning_rate),
        learning_rate=lambda state, _: state[0].learning_rate,
    )
