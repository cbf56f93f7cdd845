"""The rates of the schedules, and that watching changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.errors import UserError
from experiments.run.setup import scheduled_optimizer
from experiments.run.training import set_up
from experiments.schedules import SCHEDULES
from experiments.schedules.constant import Constant
from experiments.schedules.cosine_restarts import CosineRestarts
from experiments.schedules.cyclical import Cyclical
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.fixed_drops import FixedDrops
from experiments.schedules.hypergradient import Hypergradient
from experiments.schedules.linear_decay import LinearDecay
from experiments.schedules.matched_exponential import MatchedExponential
from experiments.schedules.multistep import Multistep
from experiments.schedules.plateau import Plateau
from experiments.schedules.scaled_epoch_autodrop import ScaledEpochAutoDrop
from experiments.schedules.schedule_free import ScheduleFreeSGD
from experiments.schedules.warmup_stable_decay import WarmupStableDecay
from experiments.schedules.windowed_autodrop import WindowedAutoDrop, scaled_window
from experiments.task.config import RunConfig
from experiments.task.optimizers import sgd
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS
from experiments.task.workloads.workload import mlp
from tests.experiments.rates import rates_of

WORKLOAD = WORKLOADS["digits_mlp"]


@pytest.fixture(autouse=True)
def no_hidden_layers(monkeypatch):
    """It is the rates that are tested, and an epoch compiles in half the time."""
    model = functools.partial(mlp, hidden_sizes=())
    small = dataclasses.replace(WORKLOAD, model=model)
    monkeypatch.setitem(WORKLOADS, "digits_mlp", small)


def planned_rates(config, steps_per_epoch=42):
    """The rate of each epoch's first step, where it is a function of the step."""
    scheduled = scheduled_optimizer(config, steps_per_epoch)
    state = scheduled.optimizer.init(jnp.ones(2))
    first = jnp.arange(config.epochs) * steps_per_epoch
    return jax.jit(jax.vmap(lambda n: scheduled.learning_rate(state, n)))(first)


@pytest.mark.parametrize(
    "name", ["multistep", "constant", "linear_decay", "matched_exponential"]
)
def test_watched_optimizer_is_bit_for_bit_the_plain_one(name):
    # 30 steps: with num_drops=5 the rate drops after every 5.
    options = {"num_drops": 5, "drop_factor": 0.5}
    schedule = SCHEDULES[name](**(options if name == "matched_exponential" else {}))
    config = RunConfig("digits_mlp", schedule, epochs=10)
    optimizer = scheduled_optimizer(config, 3).optimizer
    rates = {
        "constant": 0.1,
        "multistep": optax.piecewise_constant_schedule(0.1, {9: 0.2, 18: 0.2, 24: 0.2}),
        "linear_decay": optax.linear_schedule(0.1, 0.0, 30),
        "matched_exponential": optax.exponential_decay(0.1, 5, 0.5, staircase=True),
    }
    plain = sgd(rates[name], momentum=0.9, weight_decay=1e-2)
    params = {"w": jax.random.normal(jax.random.key(0), (50, 7)), "b": jnp.ones(7)}
    ours, theirs = optimizer.init(params), plain.init(params)
    for step in range(30):
        # Different in every step and leaf.
        gradients = jax.tree.map(lambda p, step=step: jnp.sin(p + step), params)
        a, ours = optimizer.update(gradients, ours, params)
        b, theirs = plain.update(gradients, theirs, params)
        jax.tree.map(np.testing.assert_array_equal, a, b)
        params = optax.apply_updates(params, b)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            Multistep(),
            [0.1] * 3 + [0.02] * 3 + [0.004] * 2 + [8e-4] * 2,
            id="usual",
        ),
        pytest.param(
            Multistep(milestones=(0.5, 0.52), drop_factor=0.5),
            [0.1] * 5 + [0.025] * 5,
            id="two-at-once",
        ),
    ],
)
def test_multistep_drops_after_its_fractions(options, expected):
    config = RunConfig("digits_mlp", options, epochs=10)
    np.testing.assert_allclose(planned_rates(config), expected, rtol=1e-5)


def test_the_planned_rates_are_those_of_a_run(digits):
    config = RunConfig("digits_mlp", Multistep(), epochs=10)
    rates = rates_of(digits, config)
    np.testing.assert_allclose(rates, planned_rates(config), rtol=1e-6)


def test_constant_stays():
    config = RunConfig("digits_mlp", Constant(), epochs=3)
    np.testing.assert_allclose(planned_rates(config), 0.1, rtol=1e-6)


def test_autodrop_takes_its_options(digits):
    # Every change is below 360 degrees: the first decision, after epoch 3, drops.
    options = EpochAutoDrop(
        threshold=360.0, max_threshold=360.0, drop_delay=1, drop_factor=0.5
    )
    config = RunConfig("digits_mlp", options, epochs=5)
    expected = [0.1, 0.1, 0.1, 0.05, 0.025]
    np.testing.assert_allclose(rates_of(digits, config), expected, rtol=1e-5)


def test_linear_decay_ends_at_zero():
    config = RunConfig("digits_mlp", LinearDecay(), epochs=4)
    np.testing.assert_allclose(
        planned_rates(config), [0.1, 0.075, 0.05, 0.025], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 4 epochs of 42 steps. A drop after every 42: at the start of each epoch.
        pytest.param(
            MatchedExponential(num_drops=3, drop_factor=0.5),
            [0.1, 0.05, 0.025, 0.0125],
            id="as-many",
        ),
        pytest.param(
            MatchedExponential(windows_per_drop=7, window_steps=6, drop_factor=0.5),
            [0.1, 0.05, 0.025, 0.0125],
            id="every-7-windows",
        ),
        # 168 steps are few: windows of 1 step, a drop every 13.
        pytest.param(
            MatchedExponential(),
            [0.1 * 0.95**n for n in (0, 42 // 13, 84 // 13, 126 // 13)],
            id="every-13th-of-the-run's",
        ),
        pytest.param(MatchedExponential(num_drops=0), [0.1] * 4, id="none"),
    ],
)
def test_matched_exponential_drops_evenly(options, expected):
    config = RunConfig("digits_mlp", options, epochs=4)
    np.testing.assert_allclose(planned_rates(config), expected, rtol=1e-5)


def test_windowed_autodrop_takes_its_options(digits):
    # Every change is below 360 degrees: a drop whenever the buffer is full again,
    # windows 5, 8, 11, ... of 7 steps. 6 windows an epoch.
    options = WindowedAutoDrop(
        window_steps=7, buffer_size=2, threshold=360.0, drop_factor=0.5
    )
    config = RunConfig("digits_mlp", options, epochs=3)
    state, run_epoch = set_up(config, digits)
    rows = []
    for _ in range(3):
        state, metrics = run_epoch(state)
        rows.append({k: float(v) for k, v in metrics.items()})
    rates = [row["learning_rate"] for row in rows]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.0125], rtol=1e-5)
    assert [row["num_drops"] for row in rows] == [1, 3, 5]
    assert [row["window"] for row in rows] == [6, 12, 18]
    assert [row["windows_since_drop"] for row in rows] == [1, 1, 1]
    assert 0 < rows[-1]["angular_velocity"] < 180  # that of epochs, as elsewhere
    assert rows[-1]["epoch"] == 3


@pytest.mark.parametrize(
    ("steps", "expected"), [(28080, 23), (2520, 2), (78_000, 65), (10, 1)]
)
def test_windows_per_run(steps, expected):
    assert scaled_window(steps) == expected


def test_options_out_of_range(digits):
    with pytest.raises(UserError, match="num_drops must be 0 or more, got -1"):
        MatchedExponential(num_drops=-1)
    with pytest.raises(UserError, match="windows_per_drop must be at least 1, got 0"):
        MatchedExponential(windows_per_drop=0)
    options = WindowedAutoDrop(sample_every=7)
    config = RunConfig("digits_mlp", options)
    with pytest.raises(UserError, match="sample_every that divides window_steps"):
        set_up(config, digits)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        pytest.param(
            "cosine",
            {},
            [0.05 * (1 + np.cos(np.pi * epoch / 10)) for epoch in range(10)],
            id="cosine",
        ),
        pytest.param(
            # 420 steps: decays of 140 and 280, by 3 epochs and a third, then 6 and two.
            "cosine_restarts",
            {"periods": 2},
            [0.05 * (1 + np.cos(np.pi * epoch * 42 / 140)) for epoch in range(4)]
            + [
                0.05 * (1 + np.cos(np.pi * (epoch * 42 - 140) / 280))
                for epoch in range(4, 10)
            ],
            id="cosine-restarts",
        ),
        pytest.param(
            # Two triangles between 0.02 and 0.1, the second half as high.
            "cyclical",
            {"min_fraction": 0.2, "cycles": 2.5},
            [0.02, 0.06, 0.1, 0.06, 0.02, 0.04, 0.06, 0.04, 0.02, 0.03],
            id="cyclical",
        ),
        pytest.param(
            "warmup_stable_decay",
            {"warmup": 0.2, "decay": 0.5},
            [0.0, 0.05, 0.1, 0.1, 0.1, 0.1, 0.08, 0.06, 0.04, 0.02],
            id="warmup-stable-decay",
        ),
        pytest.param(
            "one_cycle",
            {},
            [
                0.1 / 25 + (0.1 - 0.1 / 25) * (1 - np.cos(np.pi * epoch / 3)) / 2
                for epoch in range(3)
            ]
            + [
                0.1 - (0.1 - 0.1 / 1e4) * (1 - np.cos(np.pi * (epoch - 3) / 7)) / 2
                for epoch in range(3, 10)
            ],
            id="one-cycle",
        ),
    ],
)
def test_rates_by_hand(name, options, expected):
    config = RunConfig("digits_mlp", SCHEDULES[name](**options), epochs=10)
    np.testing.assert_allclose(planned_rates(config), expected, rtol=1e-3, atol=1e-5)


def test_plateau_drops_where_the_validation_loss_has_not_fallen(digits):
    # Any loss that is less than 100 % lower is no improvement: the first epoch sets the
    # mark, the second is the first one without, and patience 2 takes two.
    plateau = Plateau(patience=2, rtol=0.9999, drop_factor=0.5)
    config = RunConfig("digits_mlp", plateau, epochs=8, validation_fraction=0.1)
    held = digits.hold_out(0.1)
    rates = rates_of(held, config)
    np.testing.assert_allclose(rates, [0.1] * 3 + [0.05] * 2 + [0.025] * 2 + [0.0125])


def test_plateau_leaves_the_rate_while_the_loss_falls(digits):
    config = RunConfig("digits_mlp", Plateau(), epochs=4, validation_fraction=0.1)
    np.testing.assert_allclose(rates_of(digits.hold_out(0.1), config), 0.1)


def test_plateau_needs_examples_held_out():
    with pytest.raises(UserError, match="give a validation_fraction"):
        RunConfig("digits_mlp", Plateau())


def test_schedule_free_evaluates_its_average(digits):
    config = RunConfig("digits_mlp", ScheduleFreeSGD(), epochs=3)
    schedule = scheduled_optimizer(config, 42)
    state, run_epoch = set_up(config, digits)
    for _ in range(config.epochs):
        state, metrics = run_epoch(state)
    inner = state.opt_state.optimizer
    averaged = schedule.eval_params(state.opt_state, state.params)
    jax.tree.map(
        np.testing.assert_array_equal,
        averaged,
        optax.contrib.schedule_free_eval_params(inner, state.params),
    )
    gap = optax.tree.norm(optax.tree.sub(averaged, state.params))
    assert float(gap) > 1e-3
    # Warm-up is over: ten times the recipe's rate. The angles are recorded as always.
    assert float(metrics["learning_rate"]) == pytest.approx(1.0)
    assert 0 < float(metrics["angular_velocity"]) < 180


def test_the_rate_is_trained_by_hypergradients(digits):
    config = RunConfig("digits_mlp", Hypergradient(), epochs=4)
    rates = rates_of(digits, config)
    assert rates[0] == pytest.approx(0.1)
    assert len(set(rates)) == 4
    assert all(rate > 0 for rate in rates)


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(60, (0.4, 5, 12)), (30, (0.8, 2, 6)), (240, (0.1, 20, 48)), (5, (4.8, 1, 1))],
)
def test_scaled_options(epochs, expected):
    options = ScaledEpochAutoDrop().scaled(epochs)
    found = options.threshold, options.drop_delay, options.window
    assert found == pytest.approx(expected)
    assert options.max_threshold == options.threshold
    assert options.averaging


def test_scaled_options_leave_what_is_given():
    # The paper's delay too, which is not the scaled one.
    options = ScaledEpochAutoDrop(drop_delay=20, averaging=False).scaled(60)
    assert (options.drop_delay, options.averaging, options.window) == (20, False, 12)


def test_at_60_epochs_scaled_options_are_the_demos():
    demo = PRESETS["demo_autodrop"].config.schedule
    assert ScaledEpochAutoDrop().scaled(60) == demo


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plateau(patience=0), "patience must be above 0, got 0"),
        (lambda: Cyclical(min_fraction=2), "min_fraction must be from 0 to 1, got 2"),
        (lambda: WarmupStableDecay(0.5, 0.6), "0.5 and 0.6, are longer than"),
        (lambda: CosineRestarts(periods=0), "periods must be above 0, got 0"),
        (
            lambda: Multistep(milestones=(0.5, 45.0)),
            r"milestones .* got 45\.0: divide epochs by those of the run",
        ),
        (
            lambda: FixedDrops(milestones=(30.0,)),
            r"milestones .* got 30\.0: divide epochs by those of the run",
        ),
        (
            lambda: Multistep(drop_factor=3.0),
            r"drop_factor must be from 0 to 1, got 3\.0",
        ),
        (
            lambda: MatchedExponential(drop_factor=3.0),
            r"drop_factor must be from 0 to 1, got 3\.0",
        ),
    ],
    ids=[
        *("patience", "fraction", "too-long", "periods", "milestones"),
        *("fixed-milestones", "multistep-factor", "exponential-factor"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
