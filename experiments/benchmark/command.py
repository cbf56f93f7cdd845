"""The command line: measures, prints the table and writes it."""

import csv
import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments.benchmark.angle import angle_rows
from experiments.benchmark.config import BenchmarkConfig, RowName
from experiments.benchmark.demo import demo_rows
from experiments.benchmark.epoch_end import epoch_end_rows
from experiments.benchmark.memory import memory_rows
from experiments.benchmark.steps import (
    accumulated_rows,
    link_rows,
    windowed_rows,
    wrapper_rows,
)
from experiments.benchmark.timing import Row
from experiments.errors import UserError

PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "autodrop-optax", "torch")


ROWS: dict[RowName, Callable[[BenchmarkConfig], Iterator[Row]]] = {
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
        **environment(),
        "load": {"before": load, "after": os.getloadavg()},
        "config": dataclasses.asdict(config),
    }
    text = json.dumps(record, indent=2, default=str)
    (config.out / "benchmark.json").write_text(text + "\n")
    return rows


def environment() -> dict[str, Any]:
    """Where the figures come from."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "device": jax.devices()[0].device_kind,
        "cpu": names[0] if names else platform.processor(),
        "cpu_count": os.cpu_count(),
    }


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
