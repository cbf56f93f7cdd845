"""Algorithm 2's schedules against the conditions, as committed."""

import numpy as np
import pytest

from experiments.theory.figure_algorithm2 import (
    MODEL,
    TAU_LOW,
    against_conditions,
    claimed_kappa_2,
    course,
)


def test_a_course_starts_over_at_every_drop():
    rates = np.array([0.6, 0.4, 0.2])
    c = course(rates, TAU_LOW)
    (drops,) = np.nonzero(np.diff(c.rate))
    assert len(drops) == 2
    starts = np.append(0, drops + 1)
    assert (c.velocity[starts] == 0).all()
    assert (c.velocity[drops] > 0.9 * MODEL.level(rates[:2])).all()
    np.testing.assert_array_equal(c.time, np.arange(len(c.rate)))


def test_committed_conditions_are_those_of_today(committed):
    rows = committed("algorithm2")
    today = against_conditions(100_000)
    assert len(rows) == len(today)
    for row, line in zip(rows, today, strict=True):
        numbers = [row[name] for name in line._fields[2:]]
        np.testing.assert_allclose(numbers, line[2:], rtol=1e-5)


def test_only_falling_thresholds_keep_kappa_1(committed):
    for version, name, keeps in [
        ("2021", "2/3, fixed high", False),
        ("2021", "2/3, fixed middle", False),
        ("2024", "1, falling", True),
        ("2024", "geometric, falling", True),
    ]:
        own = [
            row["kappa_1"]
            for row in committed("algorithm2")
            if (row["sequence"], str(round(row["version"]))) == (name, version)
        ]
        assert (own[-1] > 0.2 * own[0]) == keeps


def test_the_mended_kappa_2_is_enough_and_the_claimed_is_not(committed):
    lines = claimed_kappa_2()
    assert all(line.needed <= line.mended for line in lines)
    assert any(line.needed > line.claimed for line in lines)
    for row, line in zip(committed("algorithm2_kappa2"), lines, strict=True):
        assert list(row.values()) == pytest.approx(list(line), rel=1e-5)
