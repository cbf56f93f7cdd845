"""The angle of 100 million parameters."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from autodrop_optax._angle import Turn, measure_turn
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.inputs import Leaves, turning_leaves
from experiments.benchmark.timing import Row, Side, timed_row

Measure = Callable[[Leaves, Leaves, Leaves], Turn]

MAX_ANGLE_ERROR = 1e-3  # degrees


def angle_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The angle of 100 M parameters, over a sum over each leaf of the three trees."""
    measure = jax.jit(measure_turn)  # checked and timed
    size = config.scaled(10**7)
    checks = [turning_leaves(size, 1, degrees) for degrees in (1, 90, 179)]
    errors = [check_accuracy(measure, *trees) for trees in checks]
    # Near 0 and 180 degrees a second, scaled pass runs as well.
    for leaves, degrees, limit in (
        (1, 90, 1.3),
        (200, 90, 1.3),
        (1, 1, math.nan),
        (1, 179, math.nan),
    ):
        trees = turning_leaves(config.scaled(10**8), leaves, degrees)
        errors.append(check_accuracy(measure, *trees))
        yield timed_row(
            f"angle, 100 M in {leaves}, {degrees} degrees / read three trees",
            functools.partial(read_three, trees),
            functools.partial(measure, *trees),
            config.repeats,
            limit,
        )
    yield Row("angle, largest error / 1e-3 degrees", max(errors) / 1e-3, limit=1.0)


def read_three(trees: Sequence[Leaves]) -> Side:
    """Reads three trees once."""
    read = jax.jit(lambda trees: [jnp.sum(x) for leaves in trees for x in leaves])
    return lambda: read(trees)


def check_accuracy(
    measure: Measure, ends: Leaves, starts: Leaves, previous: Leaves
) -> float:
    """Returns the error of a measured angle against float64, in degrees.

    Raises:
      ArithmeticError: it is over 1e-3 degrees. A speed would not count.
    """
    expected = angle_in_float64(ends, starts, previous)
    error = abs(float(measure(ends, starts, previous).angle) - expected)
    if not error <= MAX_ANGLE_ERROR:  # NaN neither
        raise ArithmeticError(
            f"The angle of {sum(x.size for x in ends)} parameters is {error:.2g}"
            f" degrees off at {expected:.2f} degrees: no speed counts."
        )
    return error


def angle_in_float64(ends: Leaves, starts: Leaves, previous: Leaves) -> float:
    """The angle that the kernel is to find, in degrees, by NumPy."""
    products = np.zeros(3)
    for leaf in zip(ends, starts, previous, strict=True):
        arrays = [np.asarray(x).ravel() for x in leaf]
        for i in range(0, arrays[0].size, 10**7):  # float64 copies of all are large
            x, y, b = (array[i : i + 10**7].astype(np.float64) for array in arrays)
            a = x - y
            products += a @ b, a @ a, b @ b
    ab, aa, bb = products
    return float(np.degrees(np.arccos(ab / np.sqrt(aa * bb))))
