"""The angle of 100 million parameters."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp

from autodrop_optax._angle import Turn, measure_turn
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.inputs import Leaves, turning_leaves
from experiments.benchmark.timing import Row, Side, timed_row

Measure = Callable[[Leaves, Leaves, Leaves], Turn]

MAX_ANGLE_ERROR = 1e-3  # degrees
CHUNK = 10**7  # elements that are widened to float64 at a time


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
    """The angle that the kernel is to find, in degrees, where the leaves are."""
    with jax.enable_x64(True):

        @jax.jit
        def products(x, y, s):
            a = x.astype(jnp.float64) - y.astype(jnp.float64)
            b = s.astype(jnp.float64)
            return jnp.stack([a @ b, a @ a, b @ b])

        sums = jnp.zeros(3, jnp.float64)
        for leaves in zip(ends, starts, previous, strict=True):
            for i in range(0, leaves[0].size, CHUNK):
                sums += products(*(x[i : i + CHUNK] for x in leaves))
        ab, aa, bb = map(float, sums)
    return math.degrees(math.acos(ab / math.sqrt(aa * bb)))
