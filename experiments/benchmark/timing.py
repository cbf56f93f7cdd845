"""Ratios of medians of sides that take turns."""

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Side = Callable[[], Any]  # does the work once; returns the arrays to wait for

WARM_UP = 3  # turns: compiling, first touch of memory, an epoch end without an angle


class Row(NamedTuple):
    """A line of the table; NaN where there is no figure."""

    what: str
    ratio: float
    a_a: float = math.nan
    limit: float = math.nan
    seconds: float = math.nan
    base_seconds: float = math.nan
    note: str = ""

    @property
    def met(self) -> str:
        """The verdict."""
        if math.isnan(self.limit) or math.isnan(self.ratio):
            return self.note
        return "yes" if self.ratio <= self.limit else "NO"


def compare(
    sides: dict[str, Side], repeats: int, prepare: dict[str, Side] | None = None
) -> dict[str, float]:
    """Times the sides in turns: up to three in every order, more in random ones.

    Args:
      sides: what to time, by name.
      repeats: timings of each.
      prepare: by name, what to do off the clock before each timing of that side.

    Returns:
      The median of each side, in seconds.
    """
    names = list(sides)
    if len(names) <= 3:
        orders = itertools.cycle(itertools.permutations(names))
    else:  # the first of their permutations differ in the last names alone
        draw = random.Random(0)
        orders = (draw.sample(names, len(names)) for _ in itertools.count())
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(WARM_UP + repeats):
        for name in next(orders):
            if prepare and name in prepare:
                jax.block_until_ready(prepare[name]())
            start = time.perf_counter()
            result = jax.block_until_ready(sides[name]())
            times[name].append(time.perf_counter() - start)
            del result  # its memory goes back off the clock
    return {name: statistics.median(t[WARM_UP:]) for name, t in times.items()}


def timed_row(
    what: str,
    make_base: Callable[[], Side],  # called twice, to be compiled twice
    other: Side,
    repeats: int,
    limit: float = math.nan,
    prepare: Side | None = None,  # the other side's
) -> Row:
    """Compares ``other`` with the base, and the base with another copy of itself."""
    sides = {"base": make_base(), "again": make_base(), "other": other}
    medians = compare(sides, repeats, {"other": prepare} if prepare else None)
    base, again, seconds = (medians[name] for name in sides)
    return Row(what, seconds / base, again / base, limit, seconds, base)


def going_on(function: Callable[..., tuple], *values: Any) -> Side:
    """A side that hands a function its own last results, which it may donate."""

    def run():
        nonlocal values
        values = function(*values)
        return values

    return run
