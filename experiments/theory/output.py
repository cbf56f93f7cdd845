"""The files of a figure, NAME.png and NAME.csv, and its table to print."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np

from experiments.report import csv_file
from experiments.report.tables import aligned_table


def write(
    out: Path,
    name: str,
    figure: matplotlib.figure.Figure,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Writes ``out/name.png`` and ``out/name.csv``.

    Args:
      out: folder, made if it is not there.
      name: of the figure.
      figure: to draw.
      header: the CSV's column names.
      rows: its lines, of texts and numbers; floats are written with 6 digits.
    """
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=100, pil_kwargs={"optimize": True})
    write_csv(out, name, header, rows)


def write_csv(
    out: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Writes ``out/name.csv``, for a figure that needs more than one."""
    lines = ([_text(value) for value in row] for row in rows)
    csv_file.write_csv(out / f"{name}.csv", header, lines)


def _text(value: Any, digits: int = 6) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "NO"
    if isinstance(value, str | int | np.integer):
        return str(value)
    return f"{float(value):.{digits}g}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An aligned table of texts and numbers, floats with 4 digits."""
    return aligned_table(header, [[_text(x, 4) for x in row] for row in rows])
