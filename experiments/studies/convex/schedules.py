"""The schedules that are compared, as factors of the rate."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.report.convex import LINEAR


def step_wise(steps: int) -> np.ndarray:
    """A tenth after 60, 80 and 95 % of the steps."""
    drops = np.searchsorted((0.6, 0.8, 0.95), np.arange(steps) / steps, side="right")
    return 0.1 ** drops.astype(float)


# Of the number of steps T, the factor of step i = 0, ..., T - 1, shape (T,).
FACTORS: dict[str, Callable[[int], np.ndarray]] = {
    "constant": lambda steps: np.ones(steps),
    "1/t": lambda steps: 1 / (1 + np.arange(steps)),
    "1/sqrt(t)": lambda steps: 1 / np.sqrt(1 + np.arange(steps)),
    "step-wise": step_wise,
    "cosine": lambda steps: (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2,
    LINEAR: lambda steps: np.linspace(1, 0, steps),
}

# The library's defaults are what the paper recommends. Scaled: those for 60 epochs.
AUTODROPS: dict[str, dict[str, Any]] = {
    "AutoDrop, paper": {},
    "AutoDrop, scaled": {
        "threshold": 0.4, "max_threshold": 0.4, "drop_delay": 5, "window": 12
    },
}  # fmt: skip
MIN_FACTOR = 1e-3  # AutoDrop's floor as a factor of the rate: 1e-4 of 0.1

REFINED = "refined"
COMPARED = (*FACTORS, REFINED, *AUTODROPS)
