"""The figures by name. Each entry is a command of `python -m experiments theory`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from experiments.theory import (
    figure1,
    figure3,
    figure_algorithm2,
    figure_equation11,
    figure_momentum,
    figure_theorem2,
    figure_theorem3,
    theorem1,
)


class Figure(NamedTuple):
    """A figure that can be made."""

    name: str
    what: str  # it shows, in one line
    make: Callable[[Path, bool], str]
    """From (folder, quick) to the text to print; writes NAME.png and NAME.csv there.

    ``quick`` takes a size that serves the tests, in seconds, and not the results."""


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "figure1",
            "loss and angular velocity at four rates; properties P1 and P2 as numbers",
            figure1.make,
        ),
        Figure(
            "theorem1",
            "closed forms against simulation over a grid; bias in small dimensions",
            theorem1.make,
        ),
        Figure(
            "figure3",
            "AutoDrop beside constant rates, blind halving, and halving by a coin",
            figure3.make,
        ),
        Figure(
            "momentum",
            "equation 7 beside optax's SGD, with rates that drop",
            figure_momentum.make,
        ),
        Figure(
            "theorem2",
            "the measured gap beside the bound, on convex problems",
            figure_theorem2.make,
        ),
        Figure(
            "algorithm2",
            "the angular-velocity model; Algorithm 2's gaps against the conditions",
            figure_algorithm2.make,
        ),
        Figure(
            "theorem3",
            "how fast the gap falls with T under Algorithm 2's schedules",
            figure_theorem3.make,
        ),
        Figure(
            "equation11",
            "equation 11 fitted to angles of real runs; the paper's Figure 2",
            figure_equation11.make,
        ),
    )
}
