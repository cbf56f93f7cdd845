"""The figures by name. Each entry is a command of `python -m experiments.theory`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """A figure that can be made."""

    name: str
    what: str  # it shows, in one line
    make: Callable[[Path, bool], str]
    """From (folder, quick) to the text to print; writes NAME.png and NAME.csv there.

    ``quick`` takes a size that serves the tests, in seconds, and not the results."""


FIGURES: dict[str, Figure] = {figure.name: figure for figure in ()}
