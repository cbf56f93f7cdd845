"""The command `bench`: what AutoDrop costs."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import jax
import tyro

from experiments.benchmark.angle import angle_rows
from experiments.benchmark.config import BenchmarkConfig, RowName
from experiments.benchmark.default import default_rows
from experiments.benchmark.epoch_end import epoch_end_rows
from experiments.benchmark.memory import memory_rows
from experiments.benchmark.pytorch import pytorch_rows
from experiments.benchmark.steps import (
    accumulated_rows,
    link_rows,
    windowed_rows,
    wrapper_rows,
)
from experiments.benchmark.timing import Row
from experiments.errors import UserError
from experiments.report.costs import Cost
from experiments.report.csv_file import write_csv
from experiments.run.environment import PACKAGES, environment

ROWS: dict[RowName, Callable[[BenchmarkConfig], Iterator[Row]]] = {
    "default": default_rows,
    "link": link_rows,
    "accumulated": accumulated_rows,
    "wrapper": wrapper_rows,
    "windowed": windowed_rows,
    "angle": angle_rows,
    "epoch_end": epoch_end_rows,
    "pytorch": pytorch_rows,
    "memory": memory_rows,
}


def benchmark(config: BenchmarkConfig) -> list[Row]:
    """Measures, prints the table and writes it.

    Raises:
      UserError: JAX has several devices.
    """
    if jax.device_count() != 1:
        raise UserError(
            f"The limits are for one device, and JAX has {jax.device_count()}: take"
            " what makes it several out of the environment."
        )
    load = os.getloadavg()
    rows: list[Row] = []
    print(f"{'what':<70} ratio    A/A  limit  met?")
    for name in config.rows:
        for row in ROWS[name](config):
            ratio, a_a, limit = (
                " " * 6 if math.isnan(x) else f"{x:6.3f}" for x in row[1:4]
            )
            print(f"{row.what:<69}{ratio} {a_a} {limit}  {row.met}", flush=True)
            rows.append(row)
            # As they come: it takes a quarter of an hour.
            costs = [Cost(*row[:6], row.met) for row in rows]
            write_csv(config.out / "benchmark.csv", Cost._fields, costs)

    record = {
        **environment((*PACKAGES, "torch")),
        "load": {"before": load, "after": os.getloadavg()},
        "config": dataclasses.asdict(config),
    }
    text = json.dumps(record, indent=2, default=str)
    (config.out / "benchmark.json").write_text(text + "\n")
    return rows


def bench(config: Annotated[BenchmarkConfig, tyro.conf.arg(name="")]) -> None:
    """Measures what AutoDrop costs, on one device."""
    rows = benchmark(config)
    if config.check and any(row.met == "NO" for row in rows):
        sys.exit(1)
