"""What figures write."""

import csv

import matplotlib.figure
import numpy as np

from experiments.theory.output import table, write

ROWS = [
    ("a", True, 3, np.int64(2_000_001), 1 / 3, np.float32(1e-7)),
    ("b", np.bool_(False), 4, np.int64(5), np.nan, 2e9),
]
HEADER = ("name", "holds", "n", "steps", "x", "y")


def test_a_picture_and_a_table(tmp_path):
    figure = matplotlib.figure.Figure()
    write(tmp_path / "new", "it", figure, HEADER, ROWS)
    assert (tmp_path / "new" / "it.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "new" / "it.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert header == list(HEADER)
    assert first == ["a", "yes", "3", "2000001", "0.333333", "1e-07"]
    assert second == ["b", "NO", "4", "5", "nan", "2e+09"]


def test_columns_are_aligned():
    header, _, first, second = table(HEADER, ROWS).splitlines()
    assert header.index("steps") == first.index("2000001") == second.index("5 ")
    assert first.endswith("0.3333  1e-07")
