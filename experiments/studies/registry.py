"""Studies by name: one is a file, and a line here."""

from collections.abc import Callable

from experiments.studies import (
    ablation,
    anytime,
    anytime_rates,
    autodrop_parts,
    comparison,
    demo_seeds,
    epoch_demo,
    figure2,
    figure6,
    figure7,
    optimizers,
    recorded_angles,
    refinement,
    schedules,
    table1,
    table2,
    tuning,
    uai_table2,
    window_steps,
    windowed,
)
from experiments.studies.batch_norm import batch_norm
from experiments.studies.convex.command import convex
from experiments.studies.hard_cases import hard_cases
from experiments.studies.random_walk import random_walk
from experiments.studies.state_dtype import state_dtype
from experiments.studies.step_time import step_time
from experiments.studies.study import Study

# Answered by training runs, which may be shared.
STUDIES: dict[str, Study] = {
    "demo": demo_seeds.STUDY,
    "epoch_demo": epoch_demo.STUDY,
    "tuning": tuning.STUDY,
    "anytime": anytime.STUDY,
    "anytime_rates": anytime_rates.STUDY,
    "autodrop_parts": autodrop_parts.STUDY,
    "schedules": schedules.STUDY,
    "ablation": ablation.STUDY,
    "optimizers": optimizers.STUDY,
    "refinement": refinement.STUDY,
    "comparison": comparison.STUDY,
    "windowed": windowed.STUDY,
    "window_steps": window_steps.STUDY,
    "recorded_angles": recorded_angles.STUDY,
    "table1": table1.STUDY,
    "table2": table2.STUDY,
    "figure2": figure2.STUDY,
    "figure6": figure6.STUDY,
    "figure7": figure7.STUDY,
    "uai_table2": uai_table2.STUDY,
}
# Answered by computations of their own.
COMPUTATIONS: dict[str, Callable[..., None]] = {
    "random_walk": random_walk,
    "batch_norm": batch_norm,
    "convex": convex,
    "hard_cases": hard_cases,
    "step_time": step_time,
    "state_dtype": state_dtype,
}
