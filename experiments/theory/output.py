"""What figures leave behind: NAME.png, NAME.csv, and a text table to print."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np


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
      figure: with its canvas.
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
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([_text(value) for value in row])


def _text(value: Any, digits: int = 6) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "NO"
    if isinstance(value, str | int | np.integer):
        return str(value)
    return f"{float(value):.{digits}g}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An aligned table of texts and numbers, floats with 4 digits."""
    lines = [header, *([_text(value, 4) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
