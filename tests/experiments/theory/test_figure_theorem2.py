"""Theorem 2's figure: its sequences, and the committed results."""

import numpy as np
import pytest

from experiments.theory.figure_theorem2 import METHODS, STEPS, conditions, sequences
from experiments.theory.figures import FIGURES


@pytest.mark.parametrize("name", ["momentum", "algorithm2"])
def test_the_command_writes_figure_and_table(tmp_path, name):
    assert FIGURES[name].make(tmp_path, True)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / f"{name}.csv").read_text().splitlines()) > 5


def test_sequences_meet_their_own_version():
    held = {(c.sequence, c.version): c.hold for c in conditions(STEPS)}
    for name, (steps, version) in sequences(STEPS).items():
        assert 0.95 * STEPS < steps.num_steps <= STEPS
        assert held[name, version.name]
    assert not held["2021", "2024"]


def test_no_gap_is_over_its_bound(committed):
    rows = committed("theorem2")
    assert len(rows) == 3 * 3 * len(METHODS)
    for row in rows:
        assert row["smallest_gap"] + 3 * row["standard_error"] < row["bound"]
        assert row["ratio"] == pytest.approx(
            row["bound"] / row["smallest_gap"], rel=1e-4
        )
        terms = [row[k] for k in ("distance", "momentum", "noise", "correlation")]
        assert sum(terms) == pytest.approx(row["bound"], rel=1e-4)
        if row["problem"] == "quadratics":
            # Close enough that a constant that is off by 6 would be seen.
            assert row["ratio"] < 6
        assert row["conditions_bound"] > row["bound"]


def test_the_committed_conditions_are_those_of_today(committed):
    today = conditions(STEPS)
    for row, c in zip(committed("theorem2_conditions"), today, strict=True):
        assert row["hold"] == c.hold
        np.testing.assert_allclose([row["kappa_1"], row["kappa_2"]], c[5:], rtol=1e-5)


def test_momentum_is_the_same_to_rounding_and_the_others_are_not(committed):
    rows = committed("momentum")
    assert [row["same"] for row in rows] == [True, False, True, False, True]
    for row in rows:
        assert (row["difference"] < 1e-6) == row["same"]
        assert (row["difference"] > 0.1) == (not row["same"])
