"""The papers' workloads: recipes, sizes, and first steps on data in the real format."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.errors import UserError
from experiments.models import BasicBlock, BottleneckBlock, ResNet, WideResNet
from experiments.run.devices import ONE_DEVICE, choose_devices
from experiments.run.epoch import make_step
from experiments.run.metrics import read_metrics
from experiments.run.setup import Training
from experiments.run.training import set_up, train
from experiments.schedules.constant import Constant
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.multistep import Multistep
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS
from tests.experiments.runs import assert_same_on_eight_devices

# Of each: training examples, side of an image, classes, parameters; the latter as the
# papers' networks have them.
SIZES = {
    "cifar10_resnet18": (50000, 32, 10, 11_173_962),
    "cifar100_resnet34": (50000, 32, 100, 21_328_292),
    "cifar10_wrn28x10": (50000, 32, 10, 36_479_194),
    "cifar100_wrn40x10": (50000, 32, 100, 55_899_444),
    "imagenet_resnet18": (1281167, 224, 1000, 11_689_512),
    "imagenet_resnet50": (1281167, 224, 1000, 25_557_032),
}
ALL = pytest.mark.parametrize("name", SIZES)


def test_recipes():
    """Those of the papers' baselines: rate, decay, momentum, epochs, drops."""
    cifar = (128, 200, 5e-4, 0.2, [60, 120, 160])
    imagenet = (128, 105, 1e-4, 0.1, [30, 60, 90])
    expected = {
        "cifar10_resnet18": ("nesterov", 0.05, *cifar),
        "cifar100_resnet34": ("nesterov", 0.05, *cifar),
        "cifar10_wrn28x10": ("sgd", 0.1, *cifar),
        "cifar100_wrn40x10": ("sgd", 0.1, *cifar),
        "imagenet_resnet18": ("sgd", 0.1, *imagenet),
        "imagenet_resnet50": ("sgd", 0.1, *imagenet),
    }
    for name, recipe in expected.items():
        w = WORKLOADS[name]
        drops = [round(fraction * w.epochs) for fraction in w.milestones]
        found = (w.optimizer, w.learning_rate, w.batch_size, w.epochs)
        assert (*found, w.weight_decay, w.drop_factor, drops) == recipe, name
        assert w.momentum == 0.9


@pytest.mark.parametrize(
    ("name", "drop"), [("cifar10_wrn28x10", 60), ("imagenet_resnet50", 30)]
)
def test_the_baseline_drops_where_the_paper_says(name, drop):
    workload = WORKLOADS[name]
    config = RunConfig(name, Multistep(), epochs=workload.epochs)
    recipe = config.recipe(10)
    schedule = config.schedule.filled(recipe).build(recipe)
    rates = [
        float(schedule.learning_rate((), step)) for step in (drop * 10 - 1, drop * 10)
    ]
    np.testing.assert_allclose(rates, [0.1, 0.1 * workload.drop_factor], rtol=1e-6)


class FullSize:
    """What is known of a data set without its examples."""

    def __init__(self, name):
        examples, _, self.num_classes, _ = SIZES[name]
        self.train_labels = range(examples)


def bytes_of(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *[
            pytest.param(name, "float32", id=name, marks=[pytest.mark.slow] * slow)
            for name, slow in zip(SIZES, (0, 1, 1, 1, 1, 1), strict=True)
        ],
        pytest.param("cifar10_resnet18", "bfloat16", id="cifar10_resnet18-bfloat16"),
    ],
)
def test_a_step_at_full_size(name, dtype):
    """Shapes and memory, without computing anything."""
    _, side, _, parameters = SIZES[name]
    config = RunConfig(name, EpochAutoDrop(), epochs=200, compute_dtype=dtype)

    def first_step(inputs, labels):
        training = Training.of(config, FullSize(name))
        step = make_step(training)
        state, loss = step(training.state, inputs, labels, jax.random.key(0))
        return training.state, state, loss

    before, after, loss = jax.eval_shape(
        first_step,
        jax.ShapeDtypeStruct((128, side, side, 3), jnp.uint8),
        jax.ShapeDtypeStruct((128,), jnp.int32),
    )
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    for x, y in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(before.params))
    assert sum(x.size for x in jax.tree.leaves(before.params)) == parameters
    # Momentum, and AutoDrop's anchor, last step and average; all else is scalars.
    copies = bytes_of(before.opt_state) / bytes_of(before.params)
    assert 4 <= copies < 4 + 1e-4
    assert bytes_of(before.rest) < 0.01 * bytes_of(before.params)


def narrow(name):
    """The workload with a network of the same kind that two cores can train."""

    def model(dataset, rngs, *, dtype=jnp.float32):
        classes, options = dataset.num_classes, {"dtype": dtype, "rngs": rngs}
        if "wrn" in name:
            return WideResNet(10, 1, classes, **options)
        block = BottleneckBlock if "50" in name else BasicBlock
        stem = name.split("_")[0].rstrip("0123456789")
        return ResNet(block, (1,), classes, stem=stem, width=4, **options)

    return dataclasses.replace(WORKLOADS[name], model=model, batch_size=4)


@pytest.fixture
def load(small_cifar, write_image_tree, tmp_path):
    """Loads a workload's data, of which there are few, in the real format."""

    def load(name, **sizes):
        folder = tmp_path / "data"
        if name.startswith("imagenet"):
            write_image_tree(folder, **sizes)
        else:
            which = name.split("_")[0].upper()
            files = 5 if which == "CIFAR10" else 1
            small_cifar(which, train_records=10 // files).write(folder)
        return WORKLOADS[name].load(folder)

    return load


def check_first_steps(name, rows):
    (row,) = rows
    assert np.isfinite([row["train_loss"], row["test_loss"]]).all()
    assert row["train_loss"] > 0
    assert 0 <= row["test_error"] < 100.001
    assert row["learning_rate"] == pytest.approx(WORKLOADS[name].learning_rate)
    assert row["step_norm"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_first_steps(name, load, monkeypatch, tmp_path):
    monkeypatch.setitem(WORKLOADS, name, narrow(name))
    dataset = load(name, train=(4, 4), test=(2, 1))
    config = RunConfig(name, EpochAutoDrop(), epochs=1)
    rows = train(config, tmp_path / "run", dataset)
    check_first_steps(name, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10_resnet18", "imagenet_resnet18"])
def test_first_steps_of_the_network_as_it_is(name, load, monkeypatch, tmp_path):
    workload = dataclasses.replace(WORKLOADS[name], batch_size=4)
    monkeypatch.setitem(WORKLOADS, name, workload)
    dataset = load(name, train=(4, 4), test=(2, 1), sizes=(200, 400))
    rows = train(RunConfig(name, EpochAutoDrop(), epochs=1), tmp_path / "run", dataset)
    check_first_steps(name, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10_wrn28x10", "imagenet_resnet18"])
def test_the_network_computes_in_bfloat16_on_request(name, load, monkeypatch, tmp_path):
    monkeypatch.setitem(WORKLOADS, name, narrow(name))
    dataset = load(name, train=(4, 4), test=(2, 1))
    losses = {}
    for dtype in ("float32", "bfloat16"):
        config = RunConfig(name, Constant(), epochs=1, compute_dtype=dtype)
        training = Training.of(config, dataset)
        assert {x.dtype for x in jax.tree.leaves(training.state.params)} == {
            jnp.dtype("float32")
        }
        step = jax.jit(make_step(training))
        side = 64 if "imagenet" in name else 32
        inputs = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
        arguments = (training.state, inputs, np.arange(4) % 2, jax.random.key(0))
        assert ("bf16" in step.lower(*arguments).as_text()) == (dtype == "bfloat16")
        _, losses[dtype] = step(*arguments)
    assert losses["float32"] != losses["bfloat16"]
    assert losses["float32"] == pytest.approx(float(losses["bfloat16"]), rel=0.05)


@pytest.mark.slow
def test_an_epoch_on_eight_devices_is_that_on_one(small_cifar, monkeypatch, tmp_path):
    """With crops and flips, and BatchNorm over the whole of each batch."""
    name = "cifar10_resnet18"
    workload = dataclasses.replace(narrow(name), batch_size=16)
    monkeypatch.setitem(WORKLOADS, name, workload)
    small = small_cifar("CIFAR10", train_records=7, test_records=9)
    dataset = workload.load(small.write(tmp_path))
    ends = []
    for devices in (ONE_DEVICE, choose_devices()):
        config = RunConfig(name, EpochAutoDrop(), epochs=1)
        state, run_epoch = set_up(config, dataset, devices)
        ends.append(run_epoch(state))
    assert_same_on_eight_devices(*ends)


@pytest.mark.slow
def test_augmentation_is_for_training_alone(small_cifar, monkeypatch, tmp_path):
    """Black images in the training, the test's as they are."""
    name = "cifar10_resnet18"
    black = dataclasses.replace(narrow(name), augment=lambda key, x: jnp.zeros_like(x))
    dataset = black.load(small_cifar("CIFAR10", train_records=2).write(tmp_path))
    in_truth = dataset._replace(train_inputs=jnp.zeros_like(dataset.train_inputs))
    results = []
    for workload, data in ((black, dataset), (narrow(name), in_truth)):
        monkeypatch.setitem(WORKLOADS, name, workload)
        state, run_epoch = set_up(RunConfig(name, Constant(), epochs=1), data)
        results.append(run_epoch(state)[1])
    for key, value in results[0].items():
        np.testing.assert_allclose(results[1][key], value, rtol=1e-6, err_msg=key)


@pytest.mark.slow
def test_the_command_trains_on_streamed_data(
    load, write_image_tree, monkeypatch, tmp_path, capsys
):
    name = "imagenet_resnet18"
    monkeypatch.setitem(WORKLOADS, name, narrow(name))
    folder, run = write_image_tree(tmp_path / "images"), tmp_path / "run"
    command = ["run", "multistep", "--workload", name, "--epochs", "1"]
    command += ["--data-dir", str(folder), "--out", str(run), "--devices", "4"]
    main([*command, "--checkpoint-steps", "2"])
    text = capsys.readouterr().out
    assert f"data: ImageNet (21 train, 7 test) from {folder}" in text
    assert "epoch   1/1" in text
    assert len(read_metrics(run)) == 1
    # Of the steps 2 and 5: Orbax keeps the last two.
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"4", "5"}
    main([*command, "--resume"])
    assert len(read_metrics(run)) == 1


def test_the_command_says_how_imagenet_can_be_had(monkeypatch, tmp_path):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    command = ["run", "multistep", "--workload", "imagenet_resnet18"]
    with pytest.raises(SystemExit, match="Error: ImageNet cannot be downloaded"):
        main(command)
    (tmp_path / "train").mkdir()
    with pytest.raises(SystemExit, match="train holds no folder: sort its images"):
        main([*command, "--data-dir", str(tmp_path)])


def test_a_data_set_smaller_than_a_batch(load, tmp_path):
    dataset = load("cifar100_resnet34")
    message = "10 training examples fill no batch of 128, .*_resnet34's: give it that"
    with pytest.raises(UserError, match=message):
        train(RunConfig("cifar100_resnet34"), tmp_path / "run", dataset)
    assert not (tmp_path / "run").exists()
