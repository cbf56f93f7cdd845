"""Theorem 1's grid: estimators, the test of convergence, the committed results."""

import numpy as np
import pytest

from experiments.report.statistics import mean_and_half_width
from experiments.theory.moments import mean_inner_product, saturation
from experiments.theory.theorem1 import (
    CURVATURES,
    GRID,
    GRID_RATES,
    MAX_ANGLE_ERROR,
    MAX_DISTANCE,
    MAX_INNER_ERROR,
    NOISES,
    Bias,
    Cell,
    Comparison,
    compare_grid,
    draw,
    measure_bias,
    simulate_grid,
    summarise,
)

CELLS = [
    Cell("linear", "1", 0.03),
    Cell("narrow", "a^-1/2", 0.06),
    Cell("narrow", "0.1", 0.08),
    Cell("20/i", "0.1", 0.001),
]


@pytest.fixture(scope="module")
def comparisons():
    return compare_grid(CELLS, seeds=24, burn_in=150, steps=150)


def test_both_estimators_have_the_exact_expectation(comparisons):
    for c in comparisons:
        assert abs(c.inner_ratio - c.expected_ratio) < 2 * c.inner_half_width
        assert abs(c.plain_ratio - c.expected_ratio) < 2 * c.plain_half_width
        assert c.inner_half_width < 0.1 * abs(c.expected_ratio)


def test_only_what_has_converged_is_at_the_limit(comparisons):
    assert [c.converged for c in comparisons] == [True, True, True, False]
    for c in comparisons[:3]:
        assert abs(c.inner_ratio - 1) < 2 * c.inner_half_width + MAX_DISTANCE
        assert abs(c.angle_error) < 2 * c.angle_half_width + 0.01
    last = comparisons[3]
    assert last.inner_ratio < -100
    assert last.angle_error < -10


def test_the_step_square_is_that_of_the_theory():
    means = simulate_grid(CELLS[:1], seeds=24, burn_in=150, steps=150)
    mean, half_width = mean_and_half_width(means.step_square[0])
    limit = saturation(CELLS[0].model, 0.03).step_square
    assert abs(mean - limit) < 2 * half_width
    assert half_width < 0.02 * limit


def test_a_recording_from_the_first_pair_on():
    cell = Cell("20/i", "0.1", 0.001)
    means = simulate_grid([cell], seeds=16, burn_in=1, steps=3)
    mean, half_width = mean_and_half_width(means.conditional[0])
    expected = mean_inner_product(cell.model, 0.001, 0, 3)
    assert abs(mean - expected) < 2 * half_width
    assert half_width < 0.015 * expected  # an iteration later it is 4 % lower


def test_the_grid():
    assert len(GRID) == len(CURVATURES) * len(NOISES) * len(GRID_RATES) == 75
    np.testing.assert_allclose(
        NOISES["a^-1/2"](CURVATURES["1/i"]) ** 2, np.arange(1, 201)
    )


def test_half_widths_are_those_of_student():
    assert mean_and_half_width(np.array([1.0, 3.0])) == pytest.approx((2, 12.706), 1e-3)


def test_bias_of_the_library_s_angle_in_a_small_dimension():
    five, twenty = measure_bias((5, 20), seeds=24, steps=900)
    for x, expected in ((five, -2.36), (twenty, -0.67)):  # by sampling, to 0.1 and 0.04
        assert abs(x.mean_angle - x.limit_angle - expected) < 2 * x.half_width
        assert x.half_width < 0.9
    assert five.mean_angle < five.limit_angle - five.half_width
    assert (five.dimension, five.seeds) == (5, 24)
    assert five.effective_dimension == pytest.approx(2.11, abs=0.01)


def test_a_figure_of_four_panels(comparisons):
    bias = Bias(5, 2.1, 121.7, 119.4, 0.1, 24, -2.9)
    assert len(draw(comparisons, [bias]).axes) == 4


def test_committed_closed_forms_are_those_of_the_theory(committed):
    rows = committed("theorem1")
    assert len(rows) == len(GRID)
    for row, cell in zip(rows, GRID, strict=True):
        limit = saturation(cell.model, cell.rate)
        assert row["inner"] == pytest.approx(limit.inner_product, rel=1e-5)
        assert row["angle"] == pytest.approx(limit.angle, rel=1e-5)
        assert row["converged"] == (row["distance"] <= MAX_DISTANCE)


def test_committed_results_agree_wherever_the_iteration_has_converged(committed):
    comparisons = [Comparison(**row) for row in committed("theorem1")]
    converged = [c for c in comparisons if c.converged]
    assert len(converged) > len(comparisons) / 2
    for c in converged:
        assert abs(c.inner_ratio - 1) + c.inner_half_width <= MAX_INNER_ERROR
        assert abs(c.angle_error) + c.angle_half_width <= MAX_ANGLE_ERROR
    # And where it has not, with what the recursion says of that moment.
    for c in comparisons:
        assert abs(c.inner_ratio - c.expected_ratio) <= 2 * c.inner_half_width
    (row,) = committed("theorem1_summary")
    assert row == pytest.approx(summarise(comparisons)._asdict(), rel=1e-3)


def test_committed_biases_are_explained_to_first_order(committed):
    rows = [Bias(**row) for row in committed("theorem1_bias")]
    assert [x.dimension for x in rows] == [2, 3, 5, 10, 20, 50, 100, 200]
    for x in rows[1:]:  # in one dimension there is none, and two have 1.0 effective
        bias = x.mean_angle - x.limit_angle
        assert bias < -x.half_width
        if x.effective_dimension > 4:
            assert bias == pytest.approx(x.predicted_bias, rel=0.2)
        if x.effective_dimension > 20:
            assert abs(bias - x.predicted_bias) < 1.5 * x.half_width
