"""The training loop, its records and its checkpoints."""

import dataclasses
import json
import math
import shutil

import jax
import numpy as np
import pytest
from flax import nnx
from slow import slow_but
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.errors import UserError
from experiments.models import MLP
from experiments.run.checkpoints import Checkpoints
from experiments.run.evaluation import evaluate
from experiments.run.metrics import read_metrics
from experiments.run.record import is_finished
from experiments.run.training import set_up, train
from experiments.schedules.constant import Constant
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.multistep import Multistep
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS
from tests.experiments.runs import without_times

CONFIG = RunConfig("digits_mlp", EpochAutoDrop(), epochs=4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits):
    """A folder with a finished run; do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(CONFIG, folder, digits)
    return folder


@pytest.fixture
def run_folder(finished, tmp_path):
    """A copy of it, to change."""
    return shutil.copytree(finished, tmp_path / "run")


def final_state(folder, digits):
    like, _ = set_up(CONFIG, digits)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return jax.device_get(checkpoints.restore_latest(like))


@pytest.mark.parametrize("batch_size", [64, 450, 1000])
def test_evaluation_counts_every_image(digits, batch_size):
    model = MLP((8, 8), (16,), 10, rngs=nnx.Rngs(0))
    loss, error = evaluate(
        model, digits.test_inputs, digits.test_labels, batch_size=batch_size
    )
    logits = np.asarray(model(digits.test_inputs), np.float64)
    labels = np.asarray(digits.test_labels)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    losses = log_sums - logits[np.arange(450), labels]
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
    expected = 100 * np.mean(logits.argmax(axis=1) != labels)
    np.testing.assert_allclose(error, expected, rtol=1e-6)


def test_equal_configurations_give_equal_runs_and_other_seeds_others(
    finished, digits, tmp_path
):
    again = train(CONFIG, tmp_path / "again", digits)
    np.testing.assert_equal(without_times(again), without_times(read_metrics(finished)))
    other = train(RunConfig("digits_mlp", epochs=1, seed=1), tmp_path / "1", digits)
    assert other[0]["train_loss"] != again[0]["train_loss"]


def test_record_of_a_run(finished):
    rows = read_metrics(finished)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert math.isnan(rows[0]["angular_velocity"])
    assert 0 < rows[1]["angular_velocity"] < 180
    assert 0 <= rows[-1]["test_error"] < 15
    assert '"angular_velocity": null' in (finished / "metrics.jsonl").read_text()

    config = json.loads((finished / "config.json").read_text())
    assert config["workload"] == "digits_mlp"
    assert config["schedule"]["name"] == "epoch_autodrop"
    assert config["schedule"]["drop_delay"] == 20
    assert config["data"]["train_examples"] == 1347
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["versions"]["jax"] == jax.__version__
    assert environment["platform"] == jax.devices()[0].platform
    assert environment["data"] == "Digits (1347 train, 450 test) from scikit-learn"


def test_tensorboard_reads_every_epoch(finished):
    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    rows = read_metrics(finished)
    scalars = events.Scalars("test_error")
    assert [event.step for event in scalars] == [1, 2, 3, 4]
    np.testing.assert_allclose(
        [event.value for event in scalars], [row["test_error"] for row in rows]
    )


def test_two_checkpoints_stay(finished):
    kept = {path.name for path in (finished / "checkpoints").iterdir()}
    assert kept == {"3", "4"}


def die_after_the_row(folder):
    """As a process killed between the row of epoch 4 and its checkpoint."""
    shutil.rmtree(folder / "checkpoints" / "4")


def die_while_writing(folder):
    """As a process killed in the checkpoint of epoch 4, a row of epoch 5 half there."""
    shutil.rmtree(folder / "checkpoints" / "4")
    unfinished = folder / "checkpoints" / "4.orbax-checkpoint-tmp-12"
    shutil.copytree(folder / "checkpoints" / "3", unfinished)
    (unfinished / "commit_success.txt").unlink(missing_ok=True)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 5, "lear')


def die_before_the_first_checkpoint(folder):
    shutil.rmtree(folder / "checkpoints")


def die_before_anything_but_the_configuration(folder):
    shutil.rmtree(folder / "checkpoints")
    shutil.rmtree(folder / "tensorboard")
    (folder / "metrics.jsonl").unlink()
    (folder / "environment.json").unlink()


DEATHS = {
    "after the row": die_after_the_row,
    "while writing": die_while_writing,
    "before the first checkpoint": die_before_the_first_checkpoint,
    "before anything": die_before_anything_but_the_configuration,
}


@pytest.mark.parametrize("die", slow_but(DEATHS, "while writing"))
def test_resumed_run_is_the_uninterrupted_one(finished, run_folder, digits, die):
    expected = final_state(finished, digits)
    die(run_folder)
    rows = train(CONFIG, run_folder, digits, resume=True)
    np.testing.assert_equal(without_times(rows), without_times(read_metrics(finished)))
    np.testing.assert_equal(rows, read_metrics(run_folder))
    jax.tree.map(
        np.testing.assert_array_equal, final_state(run_folder, digits), expected
    )
    events = EventAccumulator(str(run_folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [1, 2, 3, 4]


def test_finished_run_is_left_as_it_is(run_folder, digits):
    before = (run_folder / "metrics.jsonl").read_text()
    trained = []
    train(CONFIG, run_folder, digits, resume=True, on_epoch=trained.append)
    assert not trained
    assert (run_folder / "metrics.jsonl").read_text() == before


def test_a_run_is_not_overwritten(run_folder, digits):
    with pytest.raises(UserError, match=r"already holds a run.*--resume"):
        train(CONFIG, run_folder, digits)


def test_resuming_with_another_configuration_names_the_difference(run_folder, digits):
    changed = RunConfig("digits_mlp", EpochAutoDrop(threshold=0.5), epochs=9)
    with pytest.raises(UserError) as caught:
        train(changed, run_folder, digits, resume=True)
    assert "schedule.threshold: 0.01 there, 0.5 here" in str(caught.value)
    assert "epochs: 4 there, 9 here" in str(caught.value)
    assert "seed" not in str(caught.value)


def without_some(digits):
    return digits._replace(train_labels=digits.train_labels[:-100])


def with_another_order(digits):
    return digits._replace(test_labels=digits.test_labels[::-1])


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (without_some, "train_examples: 1347 there, 1247 here"),
        (with_another_order, "labels_crc32: 472968d2 there, [0-9a-f]{8} here"),
    ],
)
def test_resuming_with_other_data_names_the_difference(
    run_folder, digits, change, pattern
):
    with pytest.raises(UserError, match=pattern):
        train(CONFIG, run_folder, change(digits), resume=True)


def test_a_checkpoint_of_another_state_is_an_error_with_a_remedy(run_folder, digits):
    like, _ = set_up(CONFIG, digits)
    longer = like._replace(epoch=np.zeros(2, np.int32))
    for other, difference in (
        (longer, r"\(epoch: \(\) there, \(2,\) here\)"),
        ({"epoch": like.epoch}, r"\([\w.]+: \([\d, ]*\) there, nothing here\)"),
    ):
        with (
            Checkpoints(run_folder / "checkpoints") as checkpoints,
            pytest.raises(UserError, match=f"{difference}.*begin anew"),
        ):
            checkpoints.restore_latest(other)


def test_resuming_with_another_recipe_names_the_difference(
    run_folder, digits, monkeypatch
):
    changed = dataclasses.replace(
        WORKLOADS["digits_mlp"], batch_size=64, learning_rate=0.2
    )
    monkeypatch.setitem(WORKLOADS, "digits_mlp", changed)
    with pytest.raises(UserError) as caught:
        train(CONFIG, run_folder, digits, resume=True)
    assert "batch_size: 32 there, 64 here" in str(caught.value)
    assert "learning_rate: 0.1 there, 0.2 here" in str(caught.value)


def test_a_run_depends_on_its_own_schedule_alone(run_folder, monkeypatch):
    config = json.loads((run_folder / "config.json").read_text())
    options = {field.name for field in dataclasses.fields(EpochAutoDrop)}
    assert set(config["schedule"]) == {"name", *options}
    # Another default of another schedule leaves it alone.
    monkeypatch.setattr(Multistep, "__init__", lambda self: 1 / 0)
    assert is_finished(run_folder, CONFIG)
    other = dataclasses.replace(CONFIG, schedule=Constant())
    assert not is_finished(run_folder, other)


def test_an_option_that_came_later_was_at_its_default(run_folder):
    path = run_folder / "config.json"
    config = json.loads(path.read_text())
    del config["schedule"]["anchor"], config["evaluate_at"]
    path.write_text(json.dumps(config))
    assert is_finished(run_folder, CONFIG)
    given = dataclasses.replace(CONFIG.schedule, anchor="before_averaging")
    assert not is_finished(run_folder, dataclasses.replace(CONFIG, schedule=given))


def test_evaluation_at_some_epochs_changes_no_step(finished, digits, tmp_path):
    config = dataclasses.replace(CONFIG, evaluate_at=(2,))
    rows = train(config, tmp_path / "run", digits)
    for row, other in zip(rows, read_metrics(finished), strict=True):
        assert row["train_loss"] == other["train_loss"]
        if row["epoch"] in (2, 4):  # the last one always
            assert row["test_error"] == other["test_error"]
        else:
            assert math.isnan(row["test_error"])
            assert math.isnan(row["test_loss"])
