"""The mean of the statistics of batches, for both of Flax's interfaces."""

from collections.abc import Callable, Iterable
from typing import Any

import jax


def mean_over_batches(statistics: Callable[[Any], Any], batches: Iterable[Any]) -> Any:
    """Returns the mean of ``statistics(batch)``, a pytree of float arrays.

    Raises:
      ValueError: there is no batch.
    """
    mean = None
    for count, batch in enumerate(batches, start=1):
        new = statistics(batch)
        mean = new if mean is None else _towards(mean, new, 1.0 / count)
    if mean is None:
        raise ValueError(
            "batches are empty: pass some of the training inputs, a few thousand"
            " examples for a start. An iterator can be gone through only once."
        )
    return mean


@jax.jit
def _towards(mean: Any, new: Any, weight: float) -> Any:
    return jax.tree.map(lambda m, x: m + (x - m) * weight, mean, new)
