"""What happens in the cases happens, and no run is made twice."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.data.dataset import Dataset
from experiments.report.hard_cases import HardRun, cases_table, stops_table
from experiments.studies import hard_cases
from experiments.studies.hard_cases import CASES, Case, CaseRecipe, perturbed
from experiments.task.config import RunConfig


@pytest.fixture(scope="module")
def dataset():
    """Two classes that a line tells apart: dark above, or dark below."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 640)
    images = rng.normal(size=(640, 8, 8)) + np.where(labels, 1, -1)[:, None, None]
    images[:, 4:] *= -1
    x, y = jnp.asarray(images, jnp.float32), jnp.asarray(labels, jnp.int32)
    return Dataset("made", "the test", 2, x[:512], y[:512], x[512:], y[512:])


def errors(dataset, name, method="autodrop", epochs=8):
    rows = hard_cases.run_case(name, method, "digits_mlp", dataset, 0, epochs)
    return {row.horizon: row.error for row in rows}


@pytest.mark.slow
def test_the_data_change_after_half_of_the_run(dataset, monkeypatch):
    swapped = Case(change=lambda data: data._replace(test_labels=1 - data.test_labels))
    monkeypatch.setitem(CASES, "swapped", swapped)
    usual = errors(dataset, "as usual", epochs=4)
    changed = errors(dataset, "swapped", epochs=4)
    assert changed == usual | {stop: 100 - usual[stop] for stop in (0.75, 1.0)}


@pytest.mark.slow
def test_fine_tuning_begins_with_a_trained_network(dataset):
    found = errors(dataset, "fine-tuning at a tenth of the rate", epochs=4)
    # Mirrored, what is above stays above: the network knows it before the first step.
    assert found[1.0] < 5


def test_noise_is_as_large_as_the_parameters():
    params = {"w": jnp.asarray(np.random.default_rng(0).normal(2, 3, 10_000))}
    noise = perturbed(params, 1.0, hard_cases.jax.random.key(0))["w"] - params["w"]
    assert abs(float(noise.std()) - 3) < 0.1  # ten standard errors are 0.2


@pytest.mark.parametrize(("clip", "length"), [(False, 3.0), (True, 1.0)])
def test_clipping_and_warm_up_are_in_the_optimizer(clip, length):
    recipe = RunConfig("digits_mlp", weight_decay=0.0).recipe(10)
    fields = {x: getattr(recipe, x) for x in recipe.__dataclass_fields__}
    optimizer = CaseRecipe(**fields, warm_up=2, clip=clip).optimizer(1.0)
    params, gradient = jnp.zeros(9), jnp.ones(9)
    state = optimizer.init(params)
    first, state = optimizer.update(gradient, state, params)
    second, _ = optimizer.update(gradient, state, params)
    # Momentum of 0.9; the first step at half of the rate.
    np.testing.assert_allclose(jnp.linalg.norm(first), length / 2, rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(second), length * 1.9 * 0.75, rtol=1e-6)


def test_a_run_that_is_there_is_not_made_again(dataset, tmp_path, monkeypatch, capsys):
    made = []

    def run(name, method, workload, dataset, seed, epochs):
        made.append((name, method, seed))
        yield HardRun(name, method, seed, 1.0, 2.0, 1)

    monkeypatch.setattr(hard_cases, "run_case", run)
    monkeypatch.setattr(
        hard_cases,
        "batch_norm_stops",
        lambda *_: iter([HardRun(hard_cases.STALE, "autodrop", 0, 1.0, 3.0, 0)]),
    )
    for name in ("WORKLOAD", "BATCH_NORM_WORKLOAD"):
        monkeypatch.setattr(hard_cases, name, "digits_mlp")
    for _ in range(2):
        hard_cases.hard_cases(seeds=(0,), results=tmp_path)
    assert len(made) == len(set(made)) == 3 * len(CASES)
    assert "| as usual | 2.00 (1) | 2.00 (1) | 2.00 (1) |" in capsys.readouterr().out


def test_a_cell_has_mean_scatter_and_the_drops_of_each_seed():
    rows = [HardRun("spike", "autodrop", s, 1.0, 9.0 + s, s) for s in (0, 1, 2)]
    rows += [HardRun("spike", "linear_decay", s, 1.0, 9.5 + s, 0) for s in (0, 1)]
    rows += [HardRun("alone", "autodrop", 0, 1.0, 9.0, 0)]
    *_, line = cases_table(rows).splitlines()
    assert line == (
        "| spike | 10.00 ± 1.00 (0, 1, 2) | 10.00 ± 0.71 | **-0.50 ± 0.00** |"
    )


def test_stops_stand_side_by_side():
    rows = [
        HardRun("a", "autodrop", s, t, 9.0 * t + s, 0) for s in (0, 2) for t in (0.5, 1)
    ]
    assert stops_table(rows, ["a"]).splitlines() == [
        "| at | 0.5 of the run | 1 of the run |",
        "| --- | --- | --- |",
        "| a | 5.50 ± 1.41 | 10.00 ± 1.41 |",
    ]
