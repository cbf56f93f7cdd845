"""What recomputed BatchNorm statistics change: a small run, and the tables."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from experiments.models import MLP
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.studies.batch_norm import (
    Averaging,
    BatchNormMLP,
    Run,
    averagings_table,
    main,
    mean_and_deviation,
    percent_wrong,
    read,
    runs_table,
)

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "experiments" / "results"


@pytest.fixture(autouse=True, scope="module")
def promotion_as_flax_needs_it():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of 8 epochs; every angle counts as saturated: drops after 4, 6, 8."""
    out = tmp_path_factory.mktemp("small")
    main(
        workloads=("digits_mlp",),
        momenta=(0.99,),
        seeds=(0,),
        epochs=8,
        num_batches=3,
        autodrop=EpochAutoDrop(threshold=180.0, max_threshold=180.0, drop_delay=2),
        out=out,
    )
    averagings = read(out / "batch_stats.csv", Averaging)
    (run,) = read(out / "batch_stats_runs.csv", Run)
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
    assert first.endswith("| 1.00 ± ? | none | 2 |")
    assert "| later | 3.00 ± ? |" in later
    runs = [
        Run("digits_mlp", 0.99, 0, "10", 2.0, 1.0, 0.0),
        Run("digits_mlp", 0.99, 1, "10 20 30", 2.0, 3.0, 0.0),
        Run("digits_mlp", 0.99, 2, "", 2.0, 2.0, 0.0),
    ]
    (line,) = runs_table(runs).splitlines()[2:]
    assert line.endswith("| 2.00 ± 0.00 | 2.00 ± 1.00 | 0.00 ± 1.00 | 4 | 3 |")


def test_the_tables_are_those_of_the_runs():
    text = (ROOT / "experiments" / "README.md").read_text()
    assert averagings_table(read(RESULTS / "batch_stats.csv", Averaging)) in text
    assert runs_table(read(RESULTS / "batch_stats_runs.csv", Run)) in text


def test_the_text_says_what_the_table_does_not():
    text = (ROOT / "experiments" / "README.md").read_text()
    firsts = [r for r in read(RESULTS / "batch_stats.csv", Averaging) if r.number == 1]
    slow, fast = (
        [r for r in firsts if r[:2] == ("digits_mlp", momentum)]
        for momentum in (0.99, 0.9)
    )
    between = mean_and_deviation(r.kept_4 - r.recomputed_4 for r in slow)
    assert f"still differ by {between}." in text
    found = [mean_and_deviation(r.recomputed_4 for r in rows) for rows in (slow, fast)]
    assert f"an error of {found[0]} %" in text
    assert f"momentum of 0.9 one of {found[1]} %" in text
    left = [
        abs(r.kept_1 - r.recomputed_1) for r in firsts if r.workload[:7] == "fashion"
    ]
    assert f"leaves {max(left):.2f} points at most" in text


def test_the_record_is_whole():
    runs = read(RESULTS / "batch_stats_runs.csv", Run)
    assert [row.seed for row in runs] == [0, 1, 2, 3, 4] * (len(runs) // 5)
    assert max(row.parameters_differ_by for row in runs) == 0.0
    averagings = read(RESULTS / "batch_stats.csv", Averaging)
    told = {row[:3]: row.averaged_after.split() for row in runs}
    for key, epochs in told.items():
        assert [str(row.epoch) for row in averagings if row[:3] == key] == epochs
