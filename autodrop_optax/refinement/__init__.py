"""Schedules refined by observed gradient norms: train once, refine, train again.

:func:`record_gradient_norms`, :func:`recorded_gradient_norms` and
:func:`refine_schedule` are all that this takes. The others are what is behind them: the
arrays, the bound that they come from and its minimum by numbers, and schedules for
another number of steps. :func:`minimise_bound` and smoothing need scipy: ``pip install
"autodrop-optax[refinement]"``.
"""

from autodrop_optax.refinement._convergence_bound import (
    BoundMinimum,
    best_learning_rate,
    convergence_bound,
    minimise_bound,
)
from autodrop_optax.refinement._gradient_norms import (
    GradientNormsState,
    record_gradient_norms,
    recorded_gradient_norms,
)
from autodrop_optax.refinement._refined_schedule import (
    Refinement,
    refine_schedule,
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
    "record_gradient_norms",
    "recorded_gradient_norms",
    "refine_schedule",
    "refinement_arrays",
    "resample",
    "schedule_from_values",
]
