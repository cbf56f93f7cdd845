"""The benchmark at a tiny size: what it prints and writes, not what it measures."""

import csv
import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from autodrop_optax._angle import measure_turn
from experiments.__main__ import main
from experiments.benchmark import angle, command
from experiments.benchmark.angle import check_accuracy
from experiments.benchmark.command import benchmark
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.inputs import turning_leaves
from experiments.benchmark.pytorch import pytorch_rows
from experiments.benchmark.timing import Row, compare
from experiments.errors import UserError

LIMITS = {
    **{
        f"step, {millions} M: sgd, autodrop, {when} / sgd": limit
        for millions in (10, 100)
        for when, limit in (
            ("every step sampled", 1.7),
            ("after 16,000 steps", 1.10),
            ("two copies on the host, after 16,000 steps", 1.10),
            ("after 200,000 steps", 1.04),
        )
    },
    "training, one scan: autodrop / without": 1.02,
    "training, step calls: autodrop / without": 1.04,
    **{
        f"check, 100 M in {leaves} / read three, write two in place": 1.3
        for leaves in (1, 200, 1000)
    },
    "copies: autodrop, state": 3.0,
    "step, 10 M: sgd, link / sgd": 1.10,
    "step, 100 M: sgd, link / sgd": 1.10,
    "training, one scan: with_epoch_autodrop / without": 1.08,
    "training, step calls: with_epoch_autodrop / without": 1.08,
    "training, one scan: windowed_autodrop, every step / without": 1.25,
    "training, step calls: windowed_autodrop, every step / without": 1.25,
    "training, one scan: windowed_autodrop, every 8th / without": 1.05,
    "training, step calls: windowed_autodrop, every 8th / without": 1.05,
    "angle, 100 M in 1, 90 degrees / read three trees": 1.3,
    "angle, 100 M in 200, 90 degrees / read three trees": 1.3,
    "angle, largest error / 1e-3 degrees": 1.0,
    "end_epoch, 100 M in 1, no delay / read three, write two new": 1.0,
    "end_epoch, 100 M in 200, no delay / read three, write two new": 1.0,
    "epoch of the perceptron, epoch_autodrop / PyTorch": 1.0,
    "copies, averaging=True: link, state": 3.0,
    "copies, averaging=True: with_epoch_autodrop, state": 3.0,
    "copies, averaging=False: link, state": 2.0,
    "copies, averaging=False: with_epoch_autodrop, state": 2.0,
    "copies: windowed_autodrop, state": 3.0,
}


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)


@pytest.mark.slow
def test_every_row_has_its_figures(tmp_path):
    # A process of its own, with one device: the tests have eight.
    command = [sys.executable, "-m", "experiments", "bench", "--size", "1e-5"]
    done = subprocess.run(
        [*command, "--repeats", "1", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "benchmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["what"]: float(row["limit"]) for row in rows if row["limit"]} == LIMITS
    for row in rows:
        assert row["what"] in done.stdout
        if row["met"] == "torch not installed":
            continue
        assert math.isfinite(float(row["ratio"]))
        assert (row["met"] in ("yes", "NO")) == bool(row["limit"])
        if row["seconds"]:
            assert float(row["a_a"]) > 0
            ratio = float(row["seconds"]) / float(row["base_seconds"])
            assert float(row["ratio"]) == pytest.approx(ratio, rel=1e-4)
        # No matter how small or busy the machine.
        if row["what"].startswith("copies") and row["limit"]:
            assert row["met"] == "yes"

    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert record["versions"]["jax"] == jax.__version__
    assert record["cpu_count"] == os.cpu_count()
    assert record["cpu"]
    assert record["config"]["size"] == 1e-5


def test_sides_take_turns_in_every_order():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "abc"}
    prepare = {"b": lambda: calls.append("prepare b")}
    medians = compare(sides, 6, prepare)
    assert list(medians) == ["a", "b", "c"]
    text = " ".join(calls)
    assert text.count("b") == 2 * text.count("prepare b")  # "prepare b b", each time
    turns = text.replace("prepare b b", "b").replace(" ", "")
    turns = [turns[i : i + 3] for i in range(0, len(turns), 3)]
    assert len(set(turns[-6:])) == 6


def test_each_of_many_sides_is_first_sometimes():
    calls = []
    sides = {n: lambda n=n: calls.append(n) for n in range(8)}
    compare(sides, 60)
    assert set(calls[::8]) == set(range(8))


@pytest.mark.parametrize("degrees", [1, 90, 179])
def test_accuracy_of_the_kernel(degrees):
    trees = turning_leaves(10_000, 3, degrees)
    assert check_accuracy(jax.jit(measure_turn), *trees) < 1e-3


def too_large(ends, starts, previous):
    turn = measure_turn(ends, starts, previous)
    return turn._replace(angle=turn.angle + 0.002)


def not_a_number(ends, starts, previous):
    turn = measure_turn(ends, starts, previous)
    return turn._replace(angle=turn.angle * jnp.nan)


def last_leaf_left_out(ends, starts, previous):
    return measure_turn(ends[:-1], starts[:-1], previous[:-1])


@pytest.mark.parametrize("kernel", [too_large, not_a_number, last_leaf_left_out])
def test_a_wrong_kernel_fails_loudly(kernel):
    with pytest.raises(ArithmeticError, match=r"10000 parameters.*no speed counts"):
        check_accuracy(kernel, *turning_leaves(10_000, 2, 90))


def test_a_wrong_kernel_stops_the_benchmark(monkeypatch, one_device, tmp_path):
    monkeypatch.setattr(angle, "measure_turn", too_large)
    with pytest.raises(ArithmeticError):
        benchmark(BenchmarkConfig(("angle",), repeats=1, size=1e-5, out=tmp_path))
    assert not list(tmp_path.iterdir())


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (row,) = pytorch_rows(BenchmarkConfig(size=1e-5))
    assert row.met == "torch not installed"


def test_several_devices_are_refused(tmp_path):
    with pytest.raises(UserError, match="one device"):
        benchmark(BenchmarkConfig(out=tmp_path))


@pytest.mark.parametrize(
    ("ratio", "check", "fails"),
    [(1.1, True, False), (1.2, True, True), (1.2, False, False)],
)
def test_only_check_fails_over_a_limit(
    monkeypatch, one_device, tmp_path, ratio, check, fails
):
    rows = {"link": lambda config: [Row("x", ratio, limit=1.1)]}
    monkeypatch.setattr(command, "ROWS", rows)
    arguments = [
        "bench",
        "--rows",
        "link",
        "--out",
        str(tmp_path),
        *["--check"] * check,
    ]
    if fails:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 1
    else:
        main(arguments)
