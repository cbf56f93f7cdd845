"""The command line: measures, prints the table and writes it."""

import csv
import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import jax
import tyro

from experiments.benchmark.angle import angle_rows
from experiments.benchmark.config import BenchmarkConfig, RowName
from experiments.benchmark.default import default_rows
from experiments.benchmark.epoch_end import epoch_end_rows
from experiments.benchmark.memory import memory_rows
from experiments.benchmark.pytorch import demo_rows
from experiments.benchmark.steps import (
    accumulated_rows,
    link_rows,
    windowed_rows,
    wrapper_rows,
)
from experiments.benchmark.timing import Row
from experiments.errors import UserError
from experiments.run.environment import PACKAGES, environment

ROWS: dict[RowName, Callable[[BenchmarkConfig], Iterator[Row]]] = {
    "default": default_rows,
    "link": link_rows,
    "accumulated": accumulated_rows,
    "wrapper": wrapper_rows,
    "windowed": windowed_rows,
    "angle": angle_rows,
    "epoch_end": epoch_end_rows,
    "demo": demo_rows,
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

    config.out.mkdir(parents=True, exist_ok=True)
    with (config.out / "benchmark.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*Row._fields[:6], "met"))
        for row in rows:
            figures = ["" if math.isnan(x) else f"{x:.6g}" for x in row[1:6]]
            writer.writerow((row.what, *figures, row.met))
    record = {
        **environment((*PACKAGES, "torch")),
        "load": {"before": load, "after": os.getloadavg()},
        "config": dataclasses.asdict(config),
    }
    text = json.dumps(record, indent=2, default=str)
    (config.out / "benchmark.json").write_text(text + "\n")
    return rows


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    prog = "python -m experiments.benchmark"
    config = tyro.cli(BenchmarkConfig, prog=prog, args=args)
    try:
        rows = benchmark(config)
    except UserError as error:
        sys.exit(f"Error: {error}")
    if config.check and any(row.met == "NO" for row in rows):
        sys.exit(1)
