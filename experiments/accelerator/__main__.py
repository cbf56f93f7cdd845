"""Measurements for one large GPU, in some nine minutes.

Needs the library, jax, optax, flax, numpy and Fashion-MNIST's four files, and nothing
else: such machines are often bare.
"""

import argparse
import json
from pathlib import Path

import jax

from experiments.accelerator.costs import cost_rows
from experiments.accelerator.resnet import training_rows
from experiments.benchmark.timing import Row
from experiments.data.fashion_mnist import read_fashion_mnist
from experiments.report.csv_file import write_csv
from experiments.run.environment import environment


def main(arguments: list[str] | None = None) -> None:
    """Measures, trains, and writes both tables as they grow."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("experiments/results"))
    parser.add_argument("--data-dir", type=Path, help="has Fashion-MNIST's four files")
    parser.add_argument("--size", type=float, default=1.0, help="of everything")
    parser.add_argument("--minutes", type=float, default=6.0, help="for the training")
    options = parser.parse_args(arguments)
    _, train, test = read_fashion_mnist(options.data_dir)  # before minutes are spent

    options.out.mkdir(parents=True, exist_ok=True)
    record = environment() | {"size": options.size, "minutes": options.minutes}
    text = json.dumps(record, indent=2)
    (options.out / "accelerator.json").write_text(text + "\n")
    print(f"{jax.devices()[0].device_kind}, {jax.default_backend()}")

    rows: list[Row] = []
    for row in cost_rows(options.size):
        rows.append(row)
        print(f"{row.what:<66} {row.ratio:8.3f}   A/A {row.a_a:.3f}", flush=True)
        write_csv(options.out / "accelerator.csv", Row._fields, rows)

    results = []
    for result in training_rows(train, test, options.size, 60 * options.minutes):
        results.append(result)
        print(*result, flush=True)
        path = options.out / "accelerator_resnet18.csv"
        write_csv(path, type(result)._fields, results)


if __name__ == "__main__":
    main()
