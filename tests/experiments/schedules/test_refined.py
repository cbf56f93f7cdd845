"""Schedules refined by a first run, and AutoDrop on top of linear decay."""

import dataclasses

import numpy as np
import pytest

from autodrop_optax.refinement import refine_schedule
from experiments.__main__ import main
from experiments.errors import UserError
from experiments.run.gradient_norms import read_gradient_norms
from experiments.run.metrics import read_metrics
from experiments.run.training import set_up, train
from experiments.schedules.epoch_autodrop_linear_decay import EpochAutoDropLinearDecay
from experiments.schedules.linear_decay import LinearDecay
from experiments.schedules.refined import Refined
from experiments.studies.plan import plan
from experiments.studies.refinement import refined_arm
from experiments.task.config import RunConfig
from tests.experiments.rates import rates_of

FIRST = RunConfig("digits_mlp", LinearDecay(), epochs=2, record_gradient_norms=True)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, digits):
    """The folder of a finished run with its norms."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(FIRST, folder, digits)
    return folder


def test_recording_changes_nothing(first_run, digits, tmp_path):
    norms = read_gradient_norms(first_run)
    assert norms.shape == (84,)  # two epochs of 42 steps
    assert np.all(norms > 0)
    plain = dataclasses.replace(FIRST, record_gradient_norms=False)
    rows = train(plain, tmp_path / "plain", digits)
    for ours, theirs in zip(read_metrics(first_run), rows, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_adamw_records_the_other_norm(first_run, digits, tmp_path):
    config = dataclasses.replace(FIRST, optimizer="adamw", learning_rate=1e-3, epochs=1)
    train(config, tmp_path / "adamw", digits)
    # Of the same first batch, by the same parameters: the l1 norm, not the l2 one.
    first = read_gradient_norms(tmp_path / "adamw")[0]
    assert first > 5 * read_gradient_norms(first_run)[0]


def test_the_rate_is_the_refined_one(first_run, digits):
    # Over three epochs, one more than the first run had.
    options = Refined(first_run=str(first_run), smoothing=0.2)
    config = RunConfig("digits_mlp", options, epochs=3)
    norms = read_gradient_norms(first_run)
    factor = refine_schedule(norms, smoothing=0.2, num_steps=126)
    expected = [0.1 * float(factor(42 * epoch)) for epoch in range(3)]
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Refined(), "name its folder with --schedule.first-run"),
        (Refined(first_run="nowhere"), "nowhere has no norms of gradients"),
    ],
    ids=["none", "no-run"],
)
def test_a_first_run_is_needed(digits, options, message):
    config = RunConfig("digits_mlp", options)
    with pytest.raises(UserError, match=message):
        set_up(config, digits)


def test_smoothing_out_of_its_range(first_run, digits):
    options = Refined(first_run=str(first_run), smoothing=-1.0)
    with pytest.raises(UserError, match="smoothing"):
        set_up(RunConfig("digits_mlp", options), digits)


def test_autodrop_drops_a_rate_that_decays_linearly(digits):
    # Every change is below 360 degrees: drops after epochs 3 and 4, to a half.
    options = EpochAutoDropLinearDecay(
        threshold=360.0, max_threshold=360.0, drop_delay=1, window=1, drop_factor=0.5
    )
    config = RunConfig("digits_mlp", options, epochs=5)
    expected = [0.1, 0.08, 0.06, 0.04 / 2, 0.02 / 4]
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)


def test_a_first_run_has_a_seed_of_its_own(tmp_path):
    arms = [refined_arm("linear_decay")]
    (run,) = plan(arms, "digits_mlp", (3,), tmp_path, epochs=2)
    assert run.first is not None
    assert run.first.config.seed == 1003
    assert run.first.config.record_gradient_norms
    assert run.first.config.schedule_name == "linear_decay"
    assert not run.config.record_gradient_norms
    assert run.config.schedule.first_run == str(run.first.folder)


@pytest.mark.slow
def test_a_study_makes_the_first_runs_first(tmp_path, capsys):
    arguments = ["--workloads", "digits_mlp", "--seeds", "0", "--epochs", "1"]
    folders = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    main(
        [
            "study",
            "refinement",
            *arguments,
            *folders,
            "--workers",
            "1",
            "--devices",
            "1",
        ]
    )
    out = capsys.readouterr().out
    assert "6 of 6 runs are finished" in out
    folder = tmp_path / "runs" / "digits_mlp-refined_scaled_epoch_autodrop-seed0"
    assert len(read_metrics(folder)) == 1
    table = (tmp_path / "results" / "digits_mlp_refinement.csv").read_text()
    assert "refined_linear_decay" in table
    assert "recorded" not in table  # first runs are no results
