"""Averaging in place of a schedule (Defazio et al., "The Road Less Scheduled", 2024).

Trained is the point at which gradients are taken; evaluated is the average. The updates
lead from one such point to the next and must not be scaled: AutoDrop watches apart.
"""

import jax.numpy as jnp
import optax

from experiments.schedules.schedule import Schedule, observe_apart
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe


def schedule_free_sgd(config: RunConfig, recipe: Recipe) -> Schedule:
    """Schedule-free SGD with warm-up."""
    options = config.schedule_free
    rate = options.sgd_rate_factor * recipe.learning_rate
    warmup = round(options.warmup * recipe.steps)
    optimizer = optax.contrib.schedule_free_sgd(
        rate,
        warmup_steps=warmup,
        b1=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    return averaged(optimizer, rate, warmup, recipe)


def schedule_free_adamw(config: RunConfig, recipe: Recipe) -> Schedule:
    """Schedule-free AdamW with warm-up."""
    options = config.schedule_free
    warmup = round(options.warmup * recipe.steps)
    optimizer = optax.contrib.schedule_free_adamw(
        options.adamw_rate,
        warmup_steps=warmup,
        b1=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    return averaged(optimizer, options.adamw_rate, warmup, recipe)


def averaged(
    optimizer: optax.GradientTransformation, rate: float, warmup: int, recipe: Recipe
) -> Schedule:
    """A schedule-free optimizer, evaluated at its average."""
    rates = optax.warmup_constant_schedule(0.0, rate, warmup)
    return observe_apart(
        optimizer,
        lambda _, step: jnp.asarray(rates(step)),
        recipe,
        evaluation_params=optax.contrib.schedule_free_eval_params,
    )
