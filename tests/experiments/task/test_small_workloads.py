"""The small workloads: their networks' sizes; training learns and goes on."""

import functools
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from slow import slow_but

from experiments.data.dataset import Dataset
from experiments.data.text import text_dataset
from experiments.models import Transformer
from experiments.run.devices import ONE_DEVICE, choose_devices
from experiments.run.evaluation import evaluate
from experiments.run.training import set_up, train
from experiments.schedules.constant import Constant
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS


@pytest.fixture(scope="module")
def letters():
    """Windows of 8 letters; what follows a space is hard to say."""
    words = np.random.default_rng(0).choice(["cat ", "mat ", "on ", "the "], 1000)
    return text_dataset("Words", "a test", "".join(words), length=8)


@pytest.fixture(scope="module")
def images():
    """130 training images, dark or bright ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 140)
    inputs = rng.normal(labels[:, None, None, None], 0.3, (140, 6, 6, 1))
    inputs, labels = jnp.asarray(inputs, jnp.float32), jnp.asarray(labels, jnp.int32)
    return Dataset(
        "Shades", "a test", 2, inputs[:130], labels[:130], inputs[130:], labels[130:]
    )


@pytest.fixture(scope="module")
def words():
    """Of four letters; the class is whether the first is of the alphabet's half."""
    inputs = np.random.default_rng(0).integers(1, 27, (1500, 4))
    labels = jnp.asarray(inputs[:, 0] > 13, jnp.int32)
    inputs = jnp.asarray(inputs, jnp.int32)
    return Dataset(
        "Words", "a test", 2, inputs[:1280], labels[:1280], inputs[1280:], labels[1280:]
    )


@pytest.mark.parametrize(
    ("name", "example", "classes", "parameters"),
    [
        # Convolutions 9ab and BatchNorm 2c: stem 72 + 16; blocks 2 * (576 + 16);
        # 1152 + 2304 + 2 * 32, shortcut 128 + 32; 4608 + 9216 + 2 * 64, shortcut
        # 512 + 64; linear layer 32 * 10 + 10.
        pytest.param("fashion_mnist_resnet", (14, 14, 1), 10, 19_810, id="resnet"),
        # Embeddings 104 * 64 + 64 * 64, blocks 2 * 49_984, LayerNorm 2 * 64.
        pytest.param("pydoc_transformer", (64,), 104, 110_848, id="transformer"),
        # 19 * 256 + 256 + 256 * 256 + 256 + 256 * 8 + 8.
        pytest.param("diamonds_mlp", (19,), 8, 72_968, id="table"),
        # Embedding 27 * 64, gates 3 * (2 * 64 * 64 + 64), linear layer 64 * 15 + 15.
        pytest.param("pronunciation_gru", (12,), 15, 27_471, id="recurrent"),
    ],
)
def test_number_of_parameters(num_parameters, name, example, classes, parameters):
    inputs = jnp.zeros((1, *example))
    dataset = Dataset("", "", classes, inputs, inputs, inputs, inputs)
    build = WORKLOADS[name].model
    assert num_parameters(lambda rngs: build(dataset, rngs)) == parameters


@pytest.mark.parametrize("batch_size", slow_but({"3": 3, "1000": 1000}, "1000"))
def test_text_is_evaluated_by_character(letters, batch_size):
    build = functools.partial(Transformer, width=8, num_layers=1, num_heads=2)
    model = nnx.jit(lambda: build(letters.num_classes, 8, rngs=nnx.Rngs(0)))()
    inputs, labels = letters.train_inputs, np.asarray(letters.train_labels)
    loss, error = evaluate(model, inputs, letters.train_labels, batch_size=batch_size)
    logits = np.asarray(model(inputs), np.float64).reshape(labels.size, -1)
    of_labels = logits[np.arange(labels.size), labels.ravel()]
    losses = np.log(np.exp(logits).sum(axis=1)) - of_labels
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
    wrong = logits.argmax(axis=1) != labels.ravel()
    np.testing.assert_allclose(error, 100 * wrong.mean(), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workload", "data", "error"),
    [
        pytest.param("fashion_mnist_resnet", "images", 20, id="resnet"),
        pytest.param("pydoc_transformer", "letters", 60, id="transformer"),
        pytest.param("pronunciation_gru", "words", 10, id="recurrent"),
    ],
)
def test_training_learns_and_resumes(request, tmp_path, workload, data, error):
    dataset = request.getfixturevalue(data)
    config = RunConfig(workload, Constant(), epochs=8)
    rows = train(config, tmp_path / "run", dataset)
    assert all(math.isfinite(row["test_loss"]) for row in rows)
    assert rows[-1]["train_loss"] < 0.6 * rows[0]["train_loss"]
    assert rows[-1]["test_error"] < error

    # Running statistics and Adam's moments come back from the checkpoint.
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "8")
    again = train(config, tmp_path / "run", dataset, resume=True)
    for key in ("train_loss", "test_loss", "test_error"):
        assert again[-1][key] == rows[-1][key]


@pytest.mark.slow
def test_the_resnets_first_steps_on_several_devices_are_those_on_one():
    # Three, of the real size. Later ones are as sensitive to rounding on one device.
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(196, 14, 14, 1)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 10, 196), jnp.int32)
    dataset = Dataset(
        "Noise", "a test", 10, inputs[:192], labels[:192], inputs[192:], labels[192:]
    )
    config = RunConfig("fashion_mnist_resnet", EpochAutoDrop(), epochs=1)
    states = []
    for devices in (ONE_DEVICE, choose_devices(2)):
        state, run_epoch = set_up(config, dataset, devices)
        states.append(run_epoch(state)[0])
    one, two = ((state.params, state.rest) for state in states)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-6), two, one)
