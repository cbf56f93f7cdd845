"""The figure shows what the history says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodrop_optax import autodrop, autodrop_metrics, end_epoch, epoch_autodrop
from autodrop_optax.plot import plot_history, state_history


@pytest.fixture(scope="module")
def history():
    """Eight epochs with drops after the third, fifth and seventh, as columns."""
    link = epoch_autodrop(0.1, threshold=180.0, max_threshold=180.0, drop_delay=2)

    def epoch(carry, step):
        params, state = carry
        params, state = end_epoch(params + step, state)
        return (params, state), autodrop_metrics(state)

    params = jnp.zeros(5)
    steps = jax.random.normal(jax.random.key(0), (8, 5))
    _, metrics = jax.lax.scan(epoch, (params, link.init(params)), steps)
    return metrics


def rows_of(columns):
    size = len(columns["epoch"])
    return [{k: float(v[t]) for k, v in columns.items()} for t in range(size)]


def test_a_line_for_each_run_and_a_mark_at_each_drop(history):
    figure = plot_history({"one": history, "two": rows_of(history)})
    rate, angle = figure.axes
    lines = {line.get_label(): line for line in rate.get_lines()}
    np.testing.assert_allclose(lines["one"].get_ydata(), history["learning_rate"])
    np.testing.assert_allclose(lines["two"].get_ydata(), history["learning_rate"])
    drops = np.flatnonzero(np.diff(history["num_drops"], prepend=0)) + 1
    assert drops.size >= 2
    marks = [x for x in angle.get_lines() if x.get_marker() == "v"]
    assert len(marks) == 2
    for mark in marks:
        np.testing.assert_array_equal(mark.get_xdata(), drops)
        np.testing.assert_allclose(
            mark.get_ydata(), history["angular_velocity"][drops - 1]
        )
    assert rate.get_yscale() == "log"
    assert [text.get_text() for text in rate.get_legend().get_texts()] == ["one", "two"]
    figure.canvas.draw()


def test_further_metrics_have_their_panels(history):
    columns = {**history, "loss": np.arange(1.0, 9.0)}
    figure = plot_history(
        {"run": columns},
        panels=("loss", "step_norm"),
        labels={"loss": "train loss"},
        log_scale={"loss": (1, 2, 5)},
        title="What was trained",
    )
    loss, norm = figure.axes
    assert loss.get_ylabel() == "train loss"
    assert loss.get_yscale() == "log"
    assert norm.get_ylabel() == "step norm"
    assert norm.get_yscale() == "linear"
    assert norm.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "What was trained"
    assert loss.get_legend() is None


def test_without_epochs_and_drops_they_are_counted():
    history = {"angular_velocity": [70.0, 80.0]}
    figure = plot_history({"run": history}, panels=["angular_velocity"])
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2])


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        pytest.param({}, "at least one run", id="no-run"),
        pytest.param({"a": []}, "at least one epoch", id="no-epoch"),
        pytest.param({"a": {"learning_rate": [0.1]}}, "has no 'angular", id="missing"),
        pytest.param({"a": {"x": [1, 2], "y": [1]}}, "shapes", id="ragged"),
        pytest.param({"a": [{"x": 1}, {"y": 1}]}, "same metrics", id="unequal"),
        pytest.param({"learning_rate": 0.1}, "name: history", id="no-name"),
        pytest.param([{"learning_rate": 0.1}], "name: history", id="a-list"),
    ],
)
def test_bad_histories_are_named(histories, message):
    with pytest.raises(ValueError, match=message):
        plot_history(histories)


@pytest.fixture(scope="module")
def random_walk():
    """The metrics after each step of a random walk, and the last state."""
    link = autodrop(first_check=4, max_angle=60.0)

    def step(carry, noise):
        params, state = carry
        _, state = link.update(noise, state, params)
        return (params + noise, state), autodrop_metrics(state)

    params = jnp.zeros(50)
    steps = jax.random.normal(jax.random.key(0), (400, 50))
    (_, state), metrics = jax.lax.scan(step, (params, link.init(params)), steps)
    return metrics, state


def test_the_default_is_drawn_from_its_logs(random_walk):
    metrics, _ = random_walk
    scale, angle = plot_history({"walk": metrics}).axes
    np.testing.assert_array_equal(scale.get_lines()[0].get_ydata(), metrics["scale"])
    curve, mark, drops = angle.get_lines()[:3]
    # No angle is no point, not one at 0 degrees.
    shown = np.isfinite(curve.get_ydata())
    np.testing.assert_array_equal(shown, metrics["angle"] != 0)
    assert 0 < np.count_nonzero(~shown) < 20
    np.testing.assert_array_equal(mark.get_ydata(), np.full(400, 60.0, np.float32))
    dropped = np.flatnonzero(np.diff(metrics["num_drops"], prepend=0)) + 1
    np.testing.assert_array_equal(drops.get_xdata(), dropped)
    assert dropped.size >= 3


def test_the_default_is_drawn_from_its_state_alone(random_walk):
    metrics, state = random_walk
    history = state_history((state,))
    at = history["step"] - 1
    for name in ("angle", "scale", "max_angle", "num_drops"):
        np.testing.assert_array_equal(history[name], metrics[name][at])
    figure = plot_history({"walk": history})
    assert figure.axes[-1].get_xlabel() == "step"


def test_a_state_without_angles_or_without_autodrop_has_no_history():
    with pytest.raises(ValueError, match="no angle yet"):
        state_history(autodrop().init(jnp.zeros(3)))
    with pytest.raises(ValueError, match="holds 0 states"):
        state_history(epoch_autodrop(0.1).init(jnp.zeros(3)))
