"""Evaluated are the parameters that a person would use, BatchNorm's statistics too."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from autodrop_optax.flax import recompute_batch_stats
from experiments.run.evaluation import evaluate
from experiments.run.training import set_up
from experiments.schedules.constant import Constant
from experiments.schedules.schedule_free import ScheduleFreeSGD
from experiments.studies.batch_norm import BatchNormMLP
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS


@pytest.fixture(autouse=True)
def batch_norm(monkeypatch):
    """Puts BatchNorm into the perceptron of the digits."""
    plain = WORKLOADS["digits_mlp"]

    def model(dataset, rngs, *, dtype):
        return BatchNormMLP(plain.model(dataset, rngs, dtype=dtype), 0.9, rngs=rngs)

    workload = dataclasses.replace(plain, model=model)
    monkeypatch.setitem(WORKLOADS, "digits_mlp", workload)
    with jax.numpy_rank_promotion("allow"):
        yield


def trained(schedule, digits):
    state, run_epoch = set_up(RunConfig("digits_mlp", schedule, epochs=4), digits)
    state, metrics = run_epoch(state)
    return run_epoch, state, metrics


def error_of(run_epoch, params, rest, digits, batches=None):
    model = nnx.merge(run_epoch.training.graphdef, params, rest)
    if batches is not None:
        recompute_batch_stats(model, batches)
    return evaluate(model, digits.test_inputs, digits.test_labels)


@pytest.mark.slow
def test_an_average_gets_statistics_of_its_own(digits):
    run_epoch, state, metrics = trained(ScheduleFreeSGD(), digits)
    average = run_epoch.training.scheduled.eval_params(state.opt_state, state.params)
    batches = list(run_epoch.statistics_batches(0))
    assert [batch.shape for batch in batches] == [(32, 8, 8)] * 50
    loss, error = error_of(run_epoch, average, state.rest, digits, batches)
    np.testing.assert_allclose(metrics["test_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["test_error"], error, rtol=1e-5)
    # Neither the trained parameters nor the average with the trained statistics.
    for params in (state.params, average):
        other, _ = error_of(run_epoch, params, state.rest, digits)
        assert abs(float(other) - float(loss)) > 1e-3


@pytest.mark.slow
def test_trained_parameters_keep_the_statistics_they_were_trained_with(digits):
    run_epoch, state, metrics = trained(Constant(), digits)
    loss, _ = error_of(run_epoch, state.params, state.rest, digits)
    np.testing.assert_allclose(metrics["test_loss"], loss, rtol=1e-5)
