"""Fits of equation 11: what is known is found again, what is not is said to be."""

import numpy as np
import pytest

from experiments.task.workloads import WORKLOADS
from experiments.theory.angular_model import AngularModel
from experiments.theory.equation11_fit import (
    KNOWN_WITHIN,
    STEPS_PER_EPOCH,
    by_rate,
    fit_all,
    fit_each,
    levels_rise,
)
from experiments.theory.figure_equation11 import fits_of, make
from experiments.theory.recorded_angles import RecordedAngles, read

MODEL = AngularModel(c=2.0, gamma=0.2)
EPOCH = np.arange(1, 61)


def recorded(rate, seed, *, loss=0.1, start=0.0, gamma=MODEL.gamma):
    """Angles of the model with a scatter of half a degree."""
    model = AngularModel(MODEL.c, gamma)
    time = EPOCH * STEPS_PER_EPOCH["digits_mlp"]
    angle = np.degrees(model.velocity(rate, time))
    level = np.degrees(model.level(rate))
    angle = start + angle * (level - start) / level
    angle += np.random.default_rng(seed).normal(scale=0.5, size=angle.shape)
    angle[0] = np.nan
    return RecordedAngles(
        "digits_mlp", rate, seed, EPOCH, angle, np.full(angle.shape, loss)
    )


def runs(rates=(0.1, 0.03), **settings):
    return [recorded(rate, seed, **settings) for rate in rates for seed in (0, 1, 2)]


def test_a_level_and_a_gamma_are_found():
    for angles in by_rate(runs()):
        fit = fit_each(angles)
        assert fit.level == pytest.approx(90 * (1 + 2.0 * fit.rate), abs=0.3)
        assert fit.gamma == pytest.approx(0.2, rel=0.05)
        assert fit.rmse == pytest.approx(0.5, abs=0.1)
        assert fit.noise == pytest.approx(0.5, abs=0.1)
        assert fit.level_error < 0.3
        assert fit.known


def test_one_c_and_one_gamma_are_found():
    model, fits = fit_all(by_rate(runs((0.1, 0.03, 0.01))))
    assert model is not None
    assert model.c == pytest.approx(2.0, rel=0.05)
    assert model.gamma == pytest.approx(0.2, rel=0.05)
    assert [fit.rate for fit in fits] == [0.1, 0.03, 0.01]
    assert all(fit.rmse < 0.6 for fit in fits)


def test_a_start_is_found_and_missed_without():
    (angles,) = by_rate(runs((0.1,), start=60.0, gamma=0.02))
    with_start = fit_each(angles, with_start=True)
    assert with_start.start == pytest.approx(60, abs=3)
    assert with_start.rmse < 0.6
    assert fit_each(angles).rmse > 2 * with_start.rmse


def test_a_level_that_is_far_off_is_not_known():
    (angles,) = by_rate(runs((0.01,), gamma=5e-3))
    fit = fit_each(angles)
    assert not fit.known
    assert fit.still_rising > 0.3


@pytest.mark.parametrize("loss", [2.3, np.nan])
def test_rates_that_did_not_train_are_left_out(loss):
    both = [*runs((0.1, 0.03)), *runs((0.3,), loss=loss)]
    angles = by_rate(both)
    assert [a.trained for a in angles] == [False, True, True]
    for fit in (fit_each(angles[0]), fit_all(angles)[1][0]):
        assert np.isnan(fit.level)
        assert not fit.known
    model, _ = fit_all(angles)
    assert model is not None
    assert model.c == pytest.approx(2.0, rel=0.1)


def test_order_of_levels():
    up, down = by_rate(runs()), by_rate(runs())
    fits = [fit_each(a) for a in up]
    assert levels_rise(fits) is True
    fits = [f._replace(rate=1 - f.rate) for f in map(fit_each, down)]
    assert levels_rise(fits) is False
    assert levels_rise(fits[:1]) is None


def test_steps_per_epoch_are_those_of_the_workloads(digits):
    size = {"digits_mlp": len(digits.train_labels), "fashion_mnist_mlp": 60_000}
    for name, steps in STEPS_PER_EPOCH.items():
        assert steps == size[name] // WORKLOADS[name].batch_size


def curve(fit, rate, time):
    """The fitted angles in degrees; where there is no fit, NaN."""
    level, gamma, start = (fit[name] for name in ("level", "gamma", "start"))
    return level - (level - start) / (gamma * rate * time + 1)


def test_the_committed_fits_are_those_of_the_committed_angles(tmp_path, committed):
    recorded = read()
    assert len(recorded) == 2 * 5 * 3
    assert all(len(run.epoch) == 60 for run in recorded)
    make(tmp_path, quick=True)
    angles = by_rate(recorded)
    times = {(a.workload, a.rate): a.time for a in angles}
    fits = fits_of(angles)
    rows = committed("equation11")
    assert len(rows) == len(fits)
    for row, fit in zip(rows, fits, strict=True):
        assert (row["workload"], row["model"], row["rate"]) == fit[:3]
        # What the angles say of their model is its curve: where a level is far off,
        # level, gamma and start go together, and each alone can be anything. The search
        # ends when a step gains 1e-8 of the squares: 1e-4 of a residual, 1e-3 degrees.
        time = times[fit.workload, fit.rate]
        np.testing.assert_allclose(
            curve(row, fit.rate, time), curve(fit._asdict(), fit.rate, time), atol=0.01
        )
        # Six digits stand there; r2 may be near 0.
        for name in ("rmse", "noise", "r2", "last", "last_sd", "still_rising"):
            near = pytest.approx(getattr(fit, name), rel=1e-5, abs=1e-5, nan_ok=True)
            assert row[name] == near
        assert (row["level_error"] <= KNOWN_WITHIN) == fit.known
        if fit.known:
            near = {"rel": 1e-5, "abs": 0.01 * fit.level_error}
            assert row["level"] == pytest.approx(fit.level, **near)
            assert row["level_error"] == pytest.approx(fit.level_error, rel=0.01)
    assert (tmp_path / "equation11.png").read_bytes().startswith(b"\x89PNG")
