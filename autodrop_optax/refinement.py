"""Schedules refined by observed gradient norms: train once, refine, train again.

:func:`autodrop_optax.record_gradient_norms` and :func:`autodrop_optax.refine_schedule`
are all that this takes, with :func:`recorded_gradient_norms` in between. Here is what
is behind them: the arrays, the bound that they come from and its minimum by numbers,
and schedules for another number of steps. :func:`minimise_bound` and smoothing need
scipy: ``pip install "autodrop-optax[refinement]"``.
"""

from autodrop_optax._convergence_bound import (
    BoundMinimum,
    best_learning_rate,
    convergence_bound,
    minimise_bound,
)
from autodrop_optax._recorded_norms import (
    GradientNormsState,
    recorded_gradient_norms,
)
from autodrop_optax._refined_schedule import (
    Refinement,
    refinement_arrays,
    resample,
    schedule_from_values,
)

__all__ = [
    "BoundMinimum",
    "GradientNormsState",
    "Refinement",
    "best_learning_rate",
    "convergence_bound",
    "minimise_bound",
    "recorded_gradient_norms",
    "refinement_arrays",
    "resample",
    "schedule_from_values",
]
