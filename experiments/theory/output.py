"""What every figure leaves behind: NAME.png and NAME.csv."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np

from experiments import figures


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
    figures.save(figure, out / f"{name}.png")
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([_text(value) for value in row])


def _text(value: Any) -> str:
    if isinstance(value, str | bool | int | np.bool_ | np.integer):
        return str(value)
    return f"{float(value):.6g}"
