"""The metrics of a run, a row per epoch: metrics.jsonl, repeated for TensorBoard."""

import json
import math
import shutil
from pathlib import Path

from tensorboardX import SummaryWriter

Row = dict[str, float]

_METRICS = "metrics.jsonl"
_TENSORBOARD = "tensorboard"


def read_metrics(folder: Path) -> list[Row]:
    """Reads the rows of metrics.jsonl, null as NaN; [] if there is no such file.

    A last line without its end, which a killed process may leave, is left out.
    """
    path = folder / _METRICS
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{k: math.nan if v is None else v for k, v in r.items()} for r in rows]


class MetricsWriter:
    """Writes each epoch's row to metrics.jsonl and TensorBoard."""

    def __init__(self, folder: Path, epoch: int):
        """Opens the files and drops what they hold past ``epoch``.

        Args:
          folder: the run's folder.
          epoch: the epoch that the run goes on after; 0 for a new run.
        """
        rows = [row for row in read_metrics(folder) if row["epoch"] <= epoch]
        # A rename, so that no moment has half of the file.
        part = folder / f"{_METRICS}.part"
        part.write_text("".join(_line(row) for row in rows))
        part.replace(folder / _METRICS)
        self._file = (folder / _METRICS).open("a")
        # Events cannot be cut; written anew they hold each epoch once.
        shutil.rmtree(folder / _TENSORBOARD, ignore_errors=True)
        self._tensorboard = SummaryWriter(str(folder / _TENSORBOARD))
        for row in rows:
            self._add_scalars(row)

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()
        self._tensorboard.close()

    def write(self, row: Row) -> None:
        """Writes one epoch."""
        self._file.write(_line(row))
        self._file.flush()
        self._add_scalars(row)

    def _add_scalars(self, row: Row) -> None:
        for name, value in row.items():
            if name != "epoch" and math.isfinite(value):
                self._tensorboard.add_scalar(name, value, int(row["epoch"]))


def _line(row: Row) -> str:
    """One line of strict JSON, which knows neither NaN nor infinity."""
    values = {k: v if math.isfinite(v) else None for k, v in row.items()}
    return json.dumps(values, allow_nan=False) + "\n"
