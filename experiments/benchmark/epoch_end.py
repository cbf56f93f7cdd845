"""The end of an epoch of 100 million parameters."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from autodrop_optax import autodrop_metrics, end_epoch, epoch_autodrop
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.inputs import Leaves, normal_leaves
from experiments.benchmark.timing import Row, Side, going_on, timed_row


def epoch_end_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The whole ``end_epoch`` at 100 M parameters, in place."""
    for leaves in (1, 200):
        trees = [normal_leaves(config.scaled(10**8), leaves, seed) for seed in range(3)]
        for kind, delay_count, base, limit in (
            ("no delay", 0, "new", 1.0),
            # Harder than asked for: new arrays cost the base fresh pages.
            ("no delay", 0, "in place", math.nan),
            ("averaging", 10, "new", math.nan),
            ("jump", 19, "new", math.nan),
        ):
            prepare, end = epoch_end_side(trees[:2], delay_count)
            yield timed_row(
                f"end_epoch, 100 M in {leaves}, {kind} / read three, write two {base}",
                functools.partial(read_three_write_two, trees, base == "in place"),
                end,
                config.repeats,
                limit,
                prepare,
            )
            prepare()
            metrics = autodrop_metrics(end()[1])
            # A zero step, or one straight on, would have timed something else.
            if not 8 < metrics["angular_velocity"] < 172:
                raise ArithmeticError("The epochs timed did not turn by usual angles.")
            if bool(metrics["averaged"]) != (kind == "jump"):
                raise ArithmeticError(f"The epoch ends timed were not of kind {kind}.")


def epoch_end_side(steps: Sequence[Leaves], delay_count: int) -> tuple[Side, Side]:
    """Epochs that move by the ``steps`` in turn, off the clock; and their ends.

    Each ends ``delay_count`` epochs into the delay of 20. The epoch end is compiled
    once for all of these: what it does is decided by the state alone.
    """
    add = jax.jit(lambda xs, ys: jax.tree.map(jnp.add, xs, ys), donate_argnums=0)
    end = jax.jit(end_epoch, donate_argnums=(0, 1))
    step = itertools.cycle(steps)
    params = [jnp.zeros_like(x) for x in steps[0]]
    state: Any = epoch_autodrop(0.1, threshold=0.0, drop_delay=20).init(params)

    def prepare():
        nonlocal params, state
        params = add(params, next(step))
        state = state._replace(
            dropping=jnp.bool_(delay_count > 0), delay_count=jnp.int32(delay_count)
        )
        return params, state

    def run():
        nonlocal params, state
        params, state = end(params, state)
        return params, state

    return prepare, run


def read_three_write_two(trees: Sequence[Leaves], in_place: bool) -> Side:
    """Reads three trees and writes two, new ones or over two of those read."""

    def write(x, y, s):
        return [a + 1 for a in x], [b + c for b, c in zip(y, s, strict=True)]

    if not in_place:
        return functools.partial(jax.jit(write), *trees)
    write = jax.jit(write, donate_argnums=(0, 1))
    copies = ([jnp.copy(a) for a in tree] for tree in trees[:2])
    return going_on(lambda x, y: write(x, y, trees[2]), *copies)
