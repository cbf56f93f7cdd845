"""The angle, a step and a check at sizes that only an accelerator has room for."""

import functools
import math
from collections.abc import Iterator

import jax
import optax

from autodrop_optax import autodrop
from autodrop_optax._angle import measure_turn
from experiments.benchmark.angle import angle_in_float64, read_three
from experiments.benchmark.inputs import Leaves
from experiments.benchmark.optimizer_step import SGD, at_step, optimizer_side
from experiments.benchmark.timing import Row, timed_row

REPEATS = 12
LEAVES = 20
CALLS = 16  # steps to one timing; after 16,000 one in eight is sampled


def cost_rows(size: float) -> Iterator[Row]:
    """All rows; ``size`` multiplies the numbers of parameters."""
    for power in (8, 9):
        number = round(size * 10**power)
        yield from angle_rows(f"10^{power}", number)
    yield from step_rows(round(size * 10**8))


def angle_rows(name: str, number: int) -> Iterator[Row]:
    """The angle's error and its time, over that of reading the three trees."""
    for degrees in (1, 90):
        trees = turning_trees(number, degrees)
        measure = jax.jit(measure_turn)
        error = abs(float(measure(*trees).angle) - angle_in_float64(*trees))
        what = f"angle, {name}, {degrees} degrees"
        yield Row(f"{what}: error / 1e-3 degrees", error / 1e-3, limit=1.0)
        yield timed_row(
            f"{what} / read three trees",
            functools.partial(read_three, trees),
            functools.partial(measure, *trees),
            REPEATS,
        )


def step_rows(number: int) -> Iterator[Row]:
    """A step of SGD with momentum with AutoDrop over one without, and copies moved."""
    trees = [normal_tree(number, seed) for seed in range(3)]
    for kind in ("device", "pinned_host"):
        for steps in (100, 16_000, 200_065):
            link = at_step(autodrop(state_memory_kind=kind), steps)
            yield timed_row(
                f"step, 10^8, {kind}, after {steps:,} steps / sgd",
                functools.partial(optimizer_side, SGD, trees[:1], CALLS),
                optimizer_side(optax.chain(SGD, link), trees[:1], CALLS),
                REPEATS,
            )
        # Gradients that change: the angle of a straight line takes a second pass.
        link = autodrop(state_memory_kind=kind, max_angle=180)
        link = at_step(link, 100, checks=True)
        yield timed_row(
            f"step, 10^8, {kind}, each with a check / sgd",
            functools.partial(optimizer_side, SGD, trees, 1),
            optimizer_side(optax.chain(SGD, link), trees, 1),
            REPEATS,
        )


def normal_tree(number: int, seed: int) -> Leaves:
    """Normal numbers in equal leaves, made on the device."""
    keys = jax.random.split(jax.random.key(seed), LEAVES)
    return [jax.random.normal(key, (number // LEAVES,)) for key in keys]


def turning_trees(number: int, degrees: float) -> tuple[Leaves, Leaves, Leaves]:
    """Ends and starts of a step, and the step before, about ``degrees`` apart."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    @functools.partial(jax.jit, donate_argnums=2)
    def end(y: jax.Array, s: jax.Array, q: jax.Array) -> jax.Array:
        return y + cos * s + sin * q

    starts, previous, other = (normal_tree(number, seed) for seed in range(3))
    ends = [end(*leaves) for leaves in zip(starts, previous, other, strict=True)]
    return ends, starts, previous
