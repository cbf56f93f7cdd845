"""What drives the learning rate. One entry is one small function."""

from collections.abc import Callable

from experiments.schedules.autodrop import (
    dropped_by_autodrop,
    dropped_by_windows,
    epoch_autodrop_linear_decay,
    scaled_epoch_autodrop,
)
from experiments.schedules.fixed import (
    constant,
    cosine,
    cosine_restarts,
    cyclical,
    linear_decay,
    matched_exponential,
    multistep,
    one_cycle,
    warmup_stable_decay,
)
from experiments.schedules.hypergradient import hypergradient_descent
from experiments.schedules.plateau import plateau
from experiments.schedules.refined import refined
from experiments.schedules.rivals import RIVALS, scheduled
from experiments.schedules.schedule import Schedule
from experiments.schedules.schedule_free import schedule_free_adamw, schedule_free_sgd
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe

SCHEDULES: dict[str, Callable[[RunConfig, Recipe], Schedule]] = {
    "epoch_autodrop": dropped_by_autodrop,
    "scaled_epoch_autodrop": scaled_epoch_autodrop,
    "windowed_autodrop": dropped_by_windows,
    "epoch_autodrop_linear_decay": epoch_autodrop_linear_decay,
    "constant": constant,
    "multistep": multistep,
    "matched_exponential": matched_exponential,
    "linear_decay": linear_decay,
    "refined": refined,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "cyclical": cyclical,
    "one_cycle": one_cycle,
    "warmup_stable_decay": warmup_stable_decay,
    "plateau": plateau,
    "hypergradient": hypergradient_descent,
    "schedule_free_sgd": schedule_free_sgd,
    "schedule_free_adamw": schedule_free_adamw,
    **{name: scheduled(make) for name, make in RIVALS.items()},
}
