"""Tables on disk: a CSV file of named tuples, one line each."""

import csv
import math
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from experiments.errors import UserError

R = TypeVar("R", bound=tuple)


def write_csv(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    form: str = ".6g",
) -> None:
    """Writes a table, and the folder that it stands in.

    Args:
      path: of the table.
      header: the names of its columns.
      rows: its lines.
      form: of floats; NaN is written as nothing.
    """

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:{form}}"
        return str(value)

    lines = [[cell(value) for value in row] for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])


def read_csv(path: Path, kind: type[R]) -> list[R]:
    """Reads a table whose columns are the fields of a named tuple.

    Args:
      path: of the table.
      kind: with fields of str, bool, int and float.

    Raises:
      UserError: the columns are others.
    """
    types = kind.__annotations__
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if list(reader.fieldnames or []) != list(types):
            raise UserError(
                f"{path} has the columns {', '.join(reader.fieldnames or ['none'])} and"
                f" not {', '.join(types)}: delete it and make it anew, or choose"
                " another folder with --results."
            )
        return [
            kind(**{name: _value(types[name], text) for name, text in line.items()})
            for line in reader
        ]


def read_csv_if_any(path: Path, kind: type[R]) -> list[R]:
    """As :func:`read_csv`; no lines where there is no table."""
    return read_csv(path, kind) if path.exists() else []


def _value(kind: type, text: str) -> Any:
    if kind is float:
        return float(text) if text else math.nan
    return text == "True" if kind is bool else kind(text)


def would_lose(path: Path, there: Iterable[Hashable], now: Iterable[Hashable]) -> bool:
    """Says so where a table has runs that a new one would not have.

    Args:
      path: of the table.
      there: what names each run in it.
      now: the same of the new one.
    """
    lost = set(there) - set(now)
    if lost:
        print(
            f"{path} stays as it is: {len(lost)} of its runs are not among these."
            " Choose another folder with --results, or delete it."
        )
    return bool(lost)
