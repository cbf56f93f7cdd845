"""Training on data that are read meanwhile: the same run, wherever it stops."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_stream import NAME, SIZE, STREAMED, Net

from experiments.data.imagenet import load_imagenet
from experiments.data.streamed import StreamedDataset
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, choose_devices
from experiments.run.epoch import make_step
from experiments.run.evaluation import evaluate
from experiments.run.metrics import read_metrics
from experiments.run.training import set_up, train
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS
from tests.experiments.runs import assert_same_on_eight_devices, record

# 21 training images in batches of 4, 5 steps an epoch; 7 test images.
CONFIG = RunConfig(
    NAME,
    EpochAutoDrop(threshold=180, max_threshold=180, drop_delay=1),
    epochs=4,
)


@pytest.fixture(scope="module", autouse=True)
def workload():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WORKLOADS, NAME, STREAMED)
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, write_image_tree):
    tree = tmp_path_factory.mktemp("images")
    return load_imagenet(write_image_tree(tree, sizes=(10, 30)), SIZE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, dataset):
    """A folder with a finished run; do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(CONFIG, folder, dataset)
    return folder


def final_state(folder, dataset):
    like, run_epoch = set_up(CONFIG, dataset)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return jax.device_get(run_epoch.restore_latest(checkpoints, like))


def assert_same_run(folder, whole, dataset):
    assert record(folder) == record(whole)
    states = final_state(folder, dataset), final_state(whole, dataset)
    for x, y in zip(*map(jax.tree.leaves, states), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_record_of_a_run(whole, dataset):
    rows = read_metrics(whole)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["num_drops"] for row in rows] == [0, 0, 1, 2]
    rates = [row["learning_rate"] for row in rows]
    np.testing.assert_allclose(rates, [0.05, 0.05, 0.05, 0.01], rtol=1e-6)
    assert {path.name for path in (whole / "checkpoints").iterdir()} == {"15", "20"}
    state = final_state(whole, dataset)
    assert (int(state.epoch), int(state.step)) == (4, 0)
    environment = json.loads((whole / "environment.json").read_text())
    assert "21 train, 7 test" in environment["data"]


class KilledError(Exception):
    """Stands for the end of a process at once."""


class Dying:
    """A reader that dies when it is asked for one batch more."""

    def __init__(self, reader, batches):
        self.reader, self.batches = reader, batches

    def __next__(self):
        if self.batches == 0:
            raise KilledError
        self.batches -= 1
        return next(self.reader)

    def __getattr__(self, name):
        return getattr(self.reader, name)


@pytest.mark.parametrize(
    ("steps", "saved"),
    [
        pytest.param(1, 0, marks=pytest.mark.slow),
        (3, 2),
        pytest.param(7, 7, marks=pytest.mark.slow),
        pytest.param(18, 17, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_dies_in_mid_epoch_goes_on_bit_for_bit(
    dataset, whole, tmp_path, monkeypatch, steps, saved
):
    folder = tmp_path / "run"
    opened = StreamedDataset.train_batches

    def dying(self, *args):
        return Dying(opened(self, *args), steps)

    with monkeypatch.context() as patch:
        patch.setattr(StreamedDataset, "train_batches", dying)
        with pytest.raises(KilledError):
            train(CONFIG, folder, dataset, checkpoint_steps=2)
    numbers = [int(path.name) for path in (folder / "checkpoints").iterdir()]
    assert max(numbers, default=0) == saved
    readers = []

    def counted(self, *args):
        readers.append(Dying(opened(self, *args), 20 - saved))
        return readers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(StreamedDataset, "train_batches", counted)
        train(CONFIG, folder, dataset, resume=True, checkpoint_steps=2)
    assert_same_run(folder, whole, dataset)
    # No batch before the checkpoint was read again.
    assert [reader.batches for reader in readers] == [0]


@pytest.mark.slow
def test_eight_devices_give_what_one_gives(dataset, tmp_path, monkeypatch):
    # 16 in a batch, two for each device; the last batch of the test has one alone.
    monkeypatch.setitem(WORKLOADS, NAME, dataclasses.replace(STREAMED, batch_size=16))
    ends = []
    for devices in (ONE_DEVICE, choose_devices()):
        state, run_epoch = set_up(CONFIG, dataset, devices)
        for _ in range(2):
            state, values = run_epoch(state)
        run_epoch.close()
        ends.append((state, values))
    assert_same_on_eight_devices(*ends)


def test_an_epoch_is_its_batches_one_after_the_other(dataset):
    """The same numbers from the step alone, and from evaluating all images at once."""
    config = dataclasses.replace(CONFIG, validation_fraction=0.2)
    dataset = dataset.hold_out(0.2)
    assert len(dataset.train) == 17
    state, run_epoch = set_up(config, dataset)
    expected = jax.tree.map(jnp.copy, state.train)
    state, metrics = run_epoch(state)

    step = jax.jit(make_step(run_epoch.training))
    key = jax.random.split(jax.random.key(config.seed))[1]
    reader = dataset.train_batches(int(jax.random.bits(key, dtype=jnp.uint32)), 4)
    losses = []
    for _ in range(4):
        batch = next(reader)
        expected, loss = step(expected, batch["inputs"], batch["labels"], None)
        losses.append(loss)
    np.testing.assert_allclose(metrics["train_loss"], np.mean(losses), rtol=1e-6)
    for x, y in zip(
        *map(jax.tree.leaves, (state.train.params, expected.params)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    for x, y in zip(
        *map(jax.tree.leaves, (state.train.rest, expected.rest)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)

    graphdef = nnx.graphdef(Net(dataset, nnx.Rngs(0)))
    model = nnx.merge(graphdef, expected.params, expected.rest)
    for part, images in (("test", dataset.test), ("validation", dataset.validation)):
        inputs = [dataset.read_test(images.root / file) for file in images.files]
        loss, error = evaluate(
            model, jnp.stack(inputs), jnp.asarray(images.labels), STREAMED.preprocess
        )
        np.testing.assert_allclose(metrics[f"{part}_loss"], loss, rtol=1e-5)
        np.testing.assert_allclose(metrics[f"{part}_error"], error, rtol=1e-5)
