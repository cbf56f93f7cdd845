"""Theorem 1's closed forms against ways to the same numbers that share no code."""

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import ortho_group

from experiments.theory.moments import (
    distance_from_limit,
    effective_dimension,
    expected_run,
    mean_angle,
    mean_inner_product,
    saturation,
)
from experiments.theory.noisy_quadratic import (
    SPECTRA,
    START,
    NoisyQuadratic,
    unit_noise,
)

MIXED = NoisyQuadratic(np.array([0.3, 2.0, 7.0, 20.0]), np.array([2.0, 1.0, 0.5, 1.5]))


@pytest.mark.parametrize("rate", [0.001, 0.03, 0.06, 0.099])
def test_limits_are_those_of_the_matrix_equation(rate):
    # In a rotated basis, so that coordinates do interact: P = M P M' + r^2 A S A.
    basis = ortho_group.rvs(4, random_state=0)
    hessian = basis @ np.diag(MIXED.curvatures) @ basis.T
    noise = basis @ np.diag(np.square(MIXED.noise)) @ basis.T
    step = np.eye(4) - rate * hessian
    covariance = solve_discrete_lyapunov(step, rate**2 * hessian @ noise @ hessian)
    square = rate**2 * np.trace(hessian @ hessian @ (covariance + noise))
    # s' = -r A (M x + r A c - c') for s = -r A (x - c)
    product = rate**2 * np.trace(
        hessian @ hessian @ (step @ covariance - rate * hessian @ noise)
    )
    limit = saturation(MIXED, rate)
    np.testing.assert_allclose(limit.loss, np.trace(hessian @ covariance) / 2)
    np.testing.assert_allclose(limit.step_square, square)
    np.testing.assert_allclose(limit.inner_product, product)
    np.testing.assert_allclose(limit.cosine, product / square)
    np.testing.assert_allclose(limit.angle, np.degrees(np.arccos(product / square)))


def test_the_expectations_of_a_run_are_means_of_many():
    rates = np.array([0.06, 0.09, 0.01, 0.03, 0.03])
    rng = np.random.default_rng(0)
    x = np.full((400_000, 4), START)
    expected = expected_run(MIXED, rates)
    previous = None
    for t, rate in enumerate(rates):
        step = (
            -rate * MIXED.curvatures * (x - MIXED.noise * rng.standard_normal(x.shape))
        )
        x = x + step
        samples = [
            (expected.loss, x**2 @ MIXED.curvatures / 2),
            (expected.step_square, np.sum(step**2, axis=1)),
        ]
        if previous is not None:
            samples.append((expected.inner_product, np.sum(step * previous, axis=1)))
        for expectation, values in samples:
            error = values.std() / np.sqrt(len(values))
            assert abs(values.mean() - expectation[t]) < 4.5 * error
        previous = step
    assert np.isnan(expected.inner_product[0])


def test_the_angle_of_a_run_is_that_of_the_ratio():
    expected = expected_run(MIXED, np.full(3000, 0.02))
    np.testing.assert_allclose(expected.angle[-1], saturation(MIXED, 0.02).angle)
    first = np.degrees(
        np.arccos(
            expected.inner_product[1]
            / np.sqrt(expected.step_square[0] * expected.step_square[1])
        )
    )
    np.testing.assert_allclose(expected.angle[1], first)


def test_many_sequences_of_rates_at_once():
    rates = np.random.default_rng(1).uniform(0.001, 0.09, (3, 2, 7))
    together = expected_run(MIXED, rates)
    for index in np.ndindex(3, 2):
        for one, all_of_them in zip(
            expected_run(MIXED, rates[index]), together, strict=True
        ):
            np.testing.assert_allclose(all_of_them[index], one)


@pytest.mark.parametrize(("first", "count"), [(0, 1), (3, 1), (5, 20), (200, 50)])
@pytest.mark.parametrize("rate", [0.002, 0.06, 0.099])
def test_inner_products_before_the_limit(rate, first, count):
    run = expected_run(MIXED, np.full(300, rate))
    mean = run.inner_product[first + 1 : first + 1 + count].mean()
    np.testing.assert_allclose(mean_inner_product(MIXED, rate, first, count), mean)


@pytest.mark.parametrize("rate", [0.002, 0.06, 0.099])
def test_the_test_of_convergence_bounds_what_is_left(rate):
    limit = saturation(MIXED, rate).inner_product
    run = expected_run(MIXED, np.full(800, rate))
    left = np.abs(run.inner_product[1:] / limit - 1)
    bounds = [distance_from_limit(MIXED, rate, t) for t in range(799)]
    assert np.all(left <= np.array(bounds) + 1e-9)
    assert np.all(np.diff(bounds) <= 0)
    # No wilder than it has to be, where one coordinate is left.
    assert bounds[700] == pytest.approx(left[700], rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("rate", [0.001, 0.06])
def test_the_bounds_of_the_theorem(spectrum, rate):
    limit = saturation(unit_noise(SPECTRA[spectrum]), rate)
    assert -rate * 20 / 2 <= limit.cosine <= 0


def test_beyond_one_over_the_curvature_the_theorem_does_not_keep_under_120_degrees():
    assert saturation(unit_noise(np.full(5, 20.0)), 1 / 20).angle == pytest.approx(120)
    assert saturation(unit_noise(np.full(5, 20.0)), 0.06).angle > 126


@pytest.mark.parametrize("rate", [0.06, 0.01])
def test_halving_from_saturation_resets_the_angle_to_90_degrees(rate):
    model = unit_noise(SPECTRA["linear"])
    rates = np.r_[np.full(2500, rate), np.full(400, rate / 2)]
    angle = expected_run(model, rates).angle
    assert angle[2499] == pytest.approx(saturation(model, rate).angle, abs=0.01)
    # The first angle between two steps at the new rate.
    assert angle[2501] == pytest.approx(90, abs=0.01)
    assert angle[-1] > 90.1


@pytest.mark.parametrize("rate", [0.06, 0.08])
def test_the_moments_of_the_angle(rate):
    # The stationary pair of steps, drawn from its law and not iterated.
    a = np.linspace(0.1, 20, 40)
    v, rho = a**2 / (2 - rate * a), -rate * a / 2
    rng = np.random.default_rng(2)
    p = rng.standard_normal((100_000, 40))
    q = rho * p + np.sqrt(1 - rho**2) * rng.standard_normal(p.shape)
    norms = np.sqrt(p**2 @ v * (q**2 @ v))
    angles = np.degrees(np.arccos((p * q) @ v / norms))
    model = unit_noise(a)
    moments = mean_angle(model, rate)
    error = angles.std() / np.sqrt(len(angles))
    bias = angles.mean() - saturation(model, rate).angle
    assert abs(bias) > 5 * error
    assert abs(bias - moments.bias) < 0.05 * abs(bias) + 4 * error
    assert angles.std() == pytest.approx(moments.sd, rel=0.03)


def test_equal_curvatures_have_no_bias_to_first_order():
    moments = mean_angle(unit_noise(np.full(30, 7.0)), 0.1)
    assert moments.bias == pytest.approx(0, abs=1e-12)


def test_effective_dimension():
    assert effective_dimension(unit_noise(np.full(30, 7.0)), 0.1) == pytest.approx(30)
    two = NoisyQuadratic(np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    assert effective_dimension(two, 0.1) == pytest.approx(2)
    sizes = {
        name: effective_dimension(unit_noise(a), 0.03) for name, a in SPECTRA.items()
    }
    assert sizes["narrow"] > 200 > sizes["linear"] > 100 > 5 > sizes["harmonic"]


@pytest.mark.parametrize("rate", [0.0, -0.1, 0.1, 1.0])
def test_a_rate_without_a_limit_is_refused(rate):
    with pytest.raises(ValueError, match=f"The rate {rate} .* between 0 and 0.1"):
        saturation(MIXED, rate)
