"""The measurements for a GPU, in small, without the packages that it may lack."""

import subprocess
import sys

import numpy as np
import pytest

from experiments.report.csv_file import read_csv

# The experiments' other requirements, which a bare machine does not have.
ABSENT = (
    "scipy",
    "sklearn",
    "pooch",
    "tyro",
    "tqdm",
    "orbax",
    "matplotlib",
    "grain",
    "tensorboardX",
    "PIL",
)

PROGRAM = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from experiments.accelerator.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_measures_and_trains_in_small(tmp_path, write_idx):
    random = np.random.default_rng(0)
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = random.integers(0, 10, count).astype(np.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    program = PROGRAM.format(absent=set(ABSENT))
    options = ("--size", "1e-4", "--minutes", "0", "--out", tmp_path / "out")
    subprocess.run(
        [sys.executable, "-c", program, *options, "--data-dir", tmp_path], check=True
    )

    from experiments.accelerator.resnet import RATES, STOPS, Result
    from experiments.benchmark.timing import Row

    rows = read_csv(tmp_path / "out/accelerator.csv", Row)
    errors = [row for row in rows if "error" in row.what]
    assert len(errors) == 4
    assert all(row.ratio <= 1 for row in errors)
    assert all(row.seconds > 0 for row in rows if row not in errors)
    results = read_csv(tmp_path / "out/accelerator_resnet18.csv", Result)
    assert [(r.schedule, r.learning_rate, r.horizon) for r in results] == [
        (schedule, rate, stop)
        for rate in RATES
        for schedule, stops in (("autodrop", STOPS), ("linear_decay", STOPS[-1:]))
        for stop in stops
    ]
    assert all(0 <= r.error <= 100 for r in results)
