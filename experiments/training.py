"""The training loop: one jitted function per epoch, one checkpoint per epoch."""

import contextlib
import dataclasses
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from autodrop_optax import end_epoch
from experiments.checkpoints import Checkpoints
from experiments.config import RunConfig
from experiments.data.dataset import Dataset
from experiments.devices import ONE_DEVICE, Devices
from experiments.errors import choose
from experiments.interrupts import DeferredInterrupt
from experiments.processes import (
    any_process,
    check_same,
    is_primary,
    wait_for_all,
)
from experiments.records import (
    MetricsWriter,
    Row,
    open_run,
    read_metrics,
    write_environment,
)
from experiments.schedules import SCHEDULES, Schedule
from experiments.workloads import WORKLOADS

EVALUATION_BATCH_SIZE = 1000


class TrainState(NamedTuple):
    """What an epoch changes, and what a checkpoint holds."""

    params: Any  # tree of arrays: the model's nnx.Param
    rest: Any  # tree of arrays: all else of the model's state
    opt_state: optax.OptState
    epoch: jax.Array  # shape (), int32: epochs done


Metrics = dict[str, jax.Array]
EpochFn = Callable[[TrainState, Dataset], tuple[TrainState, Metrics]]


def train(
    config: RunConfig,
    folder: Path,
    dataset: Dataset,
    *,
    resume: bool = False,
    on_epoch: Callable[[Row], None] = lambda row: None,
    devices: Devices = ONE_DEVICE,
) -> list[Row]:
    """Trains, or goes on training, and records every epoch.

    Of several processes each calls this, with the same arguments and a folder that all
    of them see; process 0 writes the record.

    Args:
      config: the run.
      folder: where its record and checkpoints go.
      dataset: the workload's data.
      resume: go on with the run in ``folder``, if there is one.
      on_epoch: called with the row of each epoch that is trained.
      devices: what to train on. They are no part of the configuration: a run may go on
        on others, and is then the same up to rounding.

    Returns:
      One row per epoch, those before a resumption too. ``epoch`` counts from 1;
      ``learning_rate`` is that of its first step; ``train_loss`` is the mean over its
      steps; ``test_loss`` and ``test_error``, in percent, are of the parameters after
      it; ``seconds`` is the time since the row before, checkpoint included; the others
      are those of :func:`autodrop_metrics` or what the schedule puts in their place.

    Raises:
      UserError: the run in ``folder`` must not be overwritten or resumed; the devices
        cannot share a batch evenly; processes disagree on what to run.
    """
    workload = describe(config, dataset)
    check_same(
        json.dumps([dataclasses.asdict(config), workload, str(folder), resume]),
        "the run",
    )
    state, run_epoch = set_up(config, dataset, devices)
    dataset = devices.replicate(dataset)
    open_run(folder, config, workload, resume=resume)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        state = checkpoints.restore_latest(like=state)
        epochs_done = int(state.epoch)
        if epochs_done == config.epochs:
            return read_metrics(folder)
        with contextlib.ExitStack() as stack:
            writer = None
            if is_primary():
                write_environment(folder, str(dataset), str(devices))
                writer = stack.enter_context(MetricsWriter(folder, epochs_done))
            interrupt = stack.enter_context(DeferredInterrupt())
            started = time.perf_counter()
            for epoch in range(epochs_done + 1, config.epochs + 1):
                state, metrics = run_epoch(state, dataset)
                values = {k: float(v) for k, v in jax.device_get(metrics).items()}
                now = time.perf_counter()
                row = {**values, "epoch": epoch, "seconds": now - started}
                started = now
                # The row before the checkpoint: then a checkpoint that is there has
                # the rows of all its epochs.
                if writer is not None:
                    writer.write(row)
                checkpoints.save(epoch, state)
                on_epoch(row)
                interrupt.raise_if_pending(any_process)
    wait_for_all("record complete")
    return read_metrics(folder)


def describe(config: RunConfig, dataset: Dataset) -> dict[str, Any]:
    """Returns what a run's course depends on, but its configuration only names."""
    workload = choose(WORKLOADS, "workload", config.workload)
    # The images' last bits may differ between versions of NumPy; labels are integers.
    labels = jax.device_get((dataset.train_labels, dataset.test_labels))
    checksum = 0
    for array in labels:
        checksum = zlib.crc32(array.tobytes(), checksum)
    return {
        "train_examples": len(dataset.train_labels),
        "test_examples": len(dataset.test_labels),
        "labels_crc32": f"{checksum:08x}",
        "batch_size": workload.batch_size,
        "learning_rate": workload.learning_rate,
    }


def set_up(
    config: RunConfig, dataset: Dataset, devices: Devices = ONE_DEVICE
) -> tuple[TrainState, EpochFn]:
    """Returns the state before the first epoch, and the function that does an epoch."""
    workload = choose(WORKLOADS, "workload", config.workload)
    devices.check_divides(workload.batch_size)
    init_key, order_key = jax.random.split(jax.random.key(config.seed))
    model = workload.model(dataset, nnx.Rngs(init_key))
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    # Plain dictionaries of arrays: what optax, AutoDrop and Orbax all take as it is.
    params, rest = nnx.to_pure_dict(params), nnx.to_pure_dict(rest)
    steps_per_epoch = len(dataset.train_labels) // workload.batch_size
    build = choose(SCHEDULES, "schedule", config.schedule)
    schedule = build(config, workload, steps_per_epoch)
    state = TrainState(
        params=params,
        rest=rest,
        opt_state=schedule.optimizer.init(params),
        epoch=jnp.zeros((), jnp.int32),
    )
    run_epoch = make_epoch(
        graphdef, schedule, order_key, workload.batch_size, steps_per_epoch, devices
    )
    return devices.replicate(state), run_epoch


def make_epoch(
    graphdef: nnx.GraphDef,
    schedule: Schedule,
    order_key: jax.Array,
    batch_size: int,
    steps_per_epoch: int,
    devices: Devices = ONE_DEVICE,
) -> EpochFn:
    """Builds the jitted function that trains for one epoch and evaluates.

    Args:
      graphdef: the model without its state.
      schedule: the optimizer and its rate.
      order_key: with the epoch's number it gives the order of the images.
      batch_size: examples per step.
      steps_per_epoch: optimizer steps per epoch.
      devices: what to train on; each computes its share of every batch.

    Returns:
      A function of the state, which it donates, and the data set; it returns the state
      after the epoch and scalars to record, all on the devices.
    """

    def loss_fn(params, rest, images, labels):
        model = nnx.merge(graphdef, params, rest)
        model.train()
        loss = cross_entropy(model(images), labels).mean()
        _, _, rest = nnx.split(model, nnx.Param, ...)
        return loss, nnx.to_pure_dict(rest)

    def run_epoch(state, train_images, train_labels, test_images, test_labels):
        def step(carry, batch):
            params, rest, opt_state = carry
            batch = devices.divide(batch)
            images = devices.divide(train_images[batch])
            labels = devices.divide(train_labels[batch])
            gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
            (loss, rest), gradients = gradient_fn(params, rest, images, labels)
            updates, opt_state = schedule.optimizer.update(gradients, opt_state, params)
            return (optax.apply_updates(params, updates), rest, opt_state), loss

        rate = schedule.learning_rate(state.opt_state, state.epoch * steps_per_epoch)
        # The examples that do not fill a batch are left out, others in each epoch: all
        # steps are alike.
        order = jax.random.permutation(
            jax.random.fold_in(order_key, state.epoch), len(train_labels)
        )
        batches = order[: steps_per_epoch * batch_size].reshape(-1, batch_size)
        (params, rest, opt_state), losses = jax.lax.scan(
            step, (state.params, state.rest, state.opt_state), batches
        )
        params, opt_state = end_epoch(params, opt_state)

        test_loss, test_error = evaluate(
            nnx.merge(graphdef, params, rest),
            test_images,
            test_labels,
            devices=devices,
        )
        metrics = {
            **schedule.metrics(opt_state),
            "learning_rate": rate,
            "train_loss": losses.mean(),
            "test_loss": test_loss,
            "test_error": test_error,
        }
        return TrainState(params, rest, opt_state, state.epoch + 1), metrics

    jitted = devices.jit(run_epoch, donate_argnums=0)
    # The data set's name is no array: pass the arrays alone.
    return lambda state, data: jitted(
        state,
        data.train_images,
        data.train_labels,
        data.test_images,
        data.test_labels,
    )


def evaluate(
    model: nnx.Module,
    images: jax.Array,
    labels: jax.Array,
    batch_size: int = EVALUATION_BATCH_SIZE,
    devices: Devices = ONE_DEVICE,
) -> tuple[jax.Array, jax.Array]:
    """Evaluates on every example, those of the last partial batch too.

    Args:
      model: maps images to logits.
      images: shape (examples, ...), float32.
      labels: shape (examples,), int32.
      batch_size: examples per forward pass; rounded up for all devices' shares to be
        equal.
      devices: each computes its share of every batch.

    Returns:
      Mean loss and error in percent, shape (), float32.
    """
    model.eval()
    size = len(labels)
    batch_size = devices.round_up(batch_size)
    padding = -size % batch_size

    def batched(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, padding)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(-1, batch_size, *x.shape[1:])

    def batch_sums(batch):
        images, labels, valid = jax.tree.map(devices.divide, batch)
        logits = model(images)
        loss = cross_entropy(logits, labels)
        wrong = jnp.argmax(logits, axis=-1) != labels
        # Select, not multiply: what the padding gives must not matter.
        return jnp.sum(loss, where=valid), jnp.sum(wrong, where=valid)

    valid = (jnp.arange(size + padding) < size).reshape(-1, batch_size)
    losses, wrong = jax.lax.map(batch_sums, (batched(images), batched(labels), valid))
    return losses.sum() / size, 100.0 * wrong.sum() / size


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of each example, shape (batch,), in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
