"""Examples held out are out of the training and in the record."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.errors import UserError
from experiments.run.evaluation import evaluate
from experiments.run.training import train
from experiments.schedules.constant import Constant
from experiments.task.config import RunConfig


def test_the_last_are_held_out(digits):
    held = digits.hold_out(0.1)
    assert len(held.train_labels) == 1347 - 135
    assert held.validation_labels is not None
    assert held.validation_inputs is not None
    np.testing.assert_array_equal(held.train_inputs, digits.train_inputs[:1212])
    np.testing.assert_array_equal(held.validation_inputs, digits.train_inputs[1212:])
    np.testing.assert_array_equal(held.validation_labels, digits.train_labels[1212:])
    np.testing.assert_array_equal(held.test_inputs, digits.test_inputs)
    assert "1212 train, 135 validation, 450 test" in str(held)


def test_nothing_is_held_out_by_default(digits):
    assert digits.hold_out(0.0) is digits


@pytest.mark.parametrize("fraction", [1e-6, 0.9999])
def test_both_parts_need_examples(digits, fraction):
    with pytest.raises(UserError, match=f"validation_fraction {fraction} divides 1347"):
        digits.hold_out(fraction)


@pytest.mark.slow
def test_validation_is_recorded_and_changes_no_step(digits, tmp_path):
    config = RunConfig("digits_mlp", Constant(), epochs=2, validation_fraction=0.1)
    rows = train(config, tmp_path / "held", digits)
    without = RunConfig("digits_mlp", Constant(), epochs=2)
    alone = digits.hold_out(0.1)._replace(
        validation_inputs=None, validation_labels=None
    )
    others = train(without, tmp_path / "alone", alone)
    for row, other in zip(rows, others, strict=True):
        assert row["train_loss"] == other["train_loss"]
        assert row["test_error"] == other["test_error"]
        assert 0 < row["validation_error"] < 100
        assert row["validation_loss"] > 0
        assert "validation_loss" not in other


@pytest.mark.parametrize("batch_size", [7, 100])
def test_every_position_of_a_label_counts(batch_size):
    # Classes as inputs: the model's logits are right where the label is the input.
    inputs = np.arange(60, dtype=np.int32).reshape(20, 3) % 5
    labels = np.where(np.arange(60).reshape(20, 3) % 4 == 0, (inputs + 1) % 5, inputs)

    class Echo(nnx.Module):
        def __call__(self, x):
            return 10.0 * jax.nn.one_hot(x, 5)

    loss, error = evaluate(
        Echo(), jnp.asarray(inputs), jnp.asarray(labels), batch_size=batch_size
    )
    np.testing.assert_allclose(error, 25.0)
    right, wrong = np.log(np.exp(10) + 4) - 10, np.log(np.exp(10) + 4)
    np.testing.assert_allclose(loss, 0.75 * right + 0.25 * wrong, rtol=1e-5)
