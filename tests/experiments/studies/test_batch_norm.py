"""What recomputed BatchNorm statistics change: a small run, and the tables."""

import math
from pathlib import Path

import jax.numpy as jnp
import pytest
from flax import nnx

from experiments.models import MLP
from experiments.report.batch_norm import (
    Averaging,
    BatchNormRun,
    averagings_table,
    runs_table,
)
from experiments.report.csv_file import read_csv
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.studies.batch_norm import BatchNormMLP, batch_norm, percent_wrong

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "experiments" / "results" / "studies"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of 8 epochs; every angle counts as saturated: drops after 4, 6, 8."""
    out = tmp_path_factory.mktemp("small")
    batch_norm(
        workloads=("digits_mlp",),
        momenta=(0.99,),
        seeds=(0,),
        epochs=8,
        num_batches=3,
        autodrop=EpochAutoDrop(threshold=180.0, max_threshold=180.0, drop_delay=2),
        results=out,
    )
    averagings = read_csv(out / "batch_stats.csv", Averaging)
    (run,) = read_csv(out / "batch_stats_runs.csv", BatchNormRun)
    return averagings, run


def test_every_averaging_is_a_line(small):
    averagings, run = small
    assert [(row.number, row.epoch) for row in averagings] == [(1, 4), (2, 6), (3, 8)]
    assert run.averaged_after == "4 6 8"


def test_the_arms_differ_in_their_statistics_alone(small):
    averagings, run = small
    assert run.parameters_differ_by == 0.0
    # After 4 epochs the statistics, slow at first, are far behind.
    assert averagings[0].recomputed < averagings[0].kept
    assert averagings[0].recomputed_1 < averagings[0].kept_1


def test_the_errors_are_those_of_the_right_epochs(small):
    (first, second, third), run = small
    assert first.kept_2 == second.before
    assert second.kept_2 == third.before
    assert first.kept_4 == third.before
    assert math.isnan(third.kept_1)  # the run has ended
    assert (run.final_kept, run.final_recomputed) == (third.kept, third.recomputed)


def test_an_evaluation_leaves_the_model_in_training():
    rngs = nnx.Rngs(0)
    model = BatchNormMLP(MLP((4,), (3,), 2, rngs=rngs), 0.9, rngs=rngs)
    model.norms[0].mean[...] = jnp.full(3, 5.0)
    with_these = float(percent_wrong(model, jnp.ones((4, 4)), jnp.arange(4) % 2))
    assert with_these == 50.0
    assert not model.norms[0].use_running_average
    assert model.norms[0].momentum == 0.9
    assert model.norms[0].mean[0] == 5.0


def test_a_table_of_runs_with_and_without_averagings():
    late = dict.fromkeys(Averaging._fields[-6:], float("nan"))
    rows = [
        Averaging("digits_mlp", 0.99, 0, 10, 1, 4, 3, 3, 2, **{**late, "kept_1": 1.0}),
        Averaging("digits_mlp", 0.99, 1, 10, 1, 6, 3, 3, 2, **late),
        Averaging("digits_mlp", 0.99, 1, 20, 2, 2, 1, 1, 1, **late),
        Averaging("digits_mlp", 0.99, 1, 30, 3, 4, 1, 1, 1, **late),
    ]
    first, later = averagings_table(rows).splitlines()[2:]
    assert "| first | 5.00 ± 1.41 | 3.00 ± 0.00 | 3.00 ± 0.00 |" in first
    assert "| 2.00 ± 0.00 | -1.00 ± 0.00 |" in first
    assert first.endswith("| 1.00 | none | 2 |")
    assert "| later | 3.00 |" in later
    runs = [
        BatchNormRun("digits_mlp", 0.99, 0, "10", 2.0, 1.0, 0.0),
        BatchNormRun("digits_mlp", 0.99, 1, "10 20 30", 2.0, 3.0, 0.0),
        BatchNormRun("digits_mlp", 0.99, 2, "", 2.0, 2.0, 0.0),
    ]
    (line,) = runs_table(runs).splitlines()[2:]
    assert line.endswith("| 2.00 ± 0.00 | 2.00 ± 1.00 | 0.00 ± 1.00 | 4 | 3 |")


def test_the_record_is_whole():
    runs = read_csv(RESULTS / "batch_stats_runs.csv", BatchNormRun)
    assert [row.seed for row in runs] == [0, 1, 2, 3, 4] * (len(runs) // 5)
    assert max(row.parameters_differ_by for row in runs) == 0.0
    averagings = read_csv(RESULTS / "batch_stats.csv", Averaging)
    told = {row[:3]: row.averaged_after.split() for row in runs}
    for key, epochs in told.items():
        assert [str(row.epoch) for row in averagings if row[:3] == key] == epochs
