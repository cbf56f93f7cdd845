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
from flax import nnx

from autodrop_optax.refinement import recorded_gradient_norms
from experiments.data.dataset import Dataset, hold_out
from experiments.data.streamed import StreamedDataset
from experiments.errors import UserError, choose
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.distributed import (
    any_process,
    check_same,
    is_primary,
    wait_for_all,
)
from experiments.run.epoch import Epoch, EpochFn, EpochOnDevice, TrainState, make_epoch
from experiments.run.interrupts import DeferredInterrupt
from experiments.run.record import (
    CHECKPOINTS,
    MetricsWriter,
    Row,
    is_finished,
    open_run,
    read_metrics,
    write_environment,
    write_gradient_norms,
)
from experiments.run.streamed_epoch import StreamedEpoch, StreamState
from experiments.schedules import SCHEDULES, Schedule
from experiments.task.config import RunConfig
from experiments.task.recipe import Recipe
from experiments.task.workloads import WORKLOADS, Workload

CHECKPOINT_STEPS = 1000


def train(
    config: RunConfig,
    folder: Path,
    dataset: Dataset | StreamedDataset,
    *,
    resume: bool = False,
    on_epoch: Callable[[Row], None] = lambda row: None,
    devices: Devices = ONE_DEVICE,
    checkpoint_steps: int = CHECKPOINT_STEPS,
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
      checkpoint_steps: steps between checkpoints within an epoch, where the data are
        streamed; Ctrl-C acts there too.

    Returns:
      One row per epoch, those before a resumption too. ``epoch`` counts from 1;
      ``learning_rate`` is that of its first step, of schedules that train or find their
      rate that of the step before; ``train_loss`` is the mean over its
      steps; ``test_loss`` and ``test_error``, in percent, are of the parameters after
      it, and ``validation_loss`` and ``validation_error`` too where examples are held
      out; ``seconds`` is the time since the row before, checkpoint included; the others
      are those of :func:`autodrop_metrics` or what the schedule puts in their place.

    Raises:
      UserError: the run in ``folder`` must not be overwritten or resumed; the devices
        cannot share a batch evenly; processes disagree on what to run.
    """
    if isinstance(dataset, StreamedDataset):
        dataset = dataset.hold_out(config.validation_fraction)
    else:
        dataset = hold_out(dataset, config.validation_fraction)
    workload = describe(config, dataset)
    check_same(
        json.dumps([dataclasses.asdict(config), workload, str(folder), resume]),
        "the run",
    )
    state, run_epoch = start(config, dataset, devices)
    open_run(folder, config, workload, resume=resume)
    if is_finished(folder, config):
        return read_metrics(folder)
    with Checkpoints(folder / CHECKPOINTS) as checkpoints:
        state = run_epoch.restore_latest(checkpoints, like=state)
        epochs_done = int(state.epoch)
        with contextlib.ExitStack() as stack:
            stack.callback(run_epoch.close)
            writer = None
            if is_primary():
                write_environment(folder, str(dataset), str(devices))
                writer = stack.enter_context(MetricsWriter(folder, epochs_done))
            interrupt = stack.enter_context(DeferredInterrupt())

            def after_step(state, step):
                if step % checkpoint_steps == 0:
                    run_epoch.save(checkpoints, state)
                    interrupt.raise_if_pending(any_process)

            started = time.perf_counter()
            for epoch in range(epochs_done + 1, config.epochs + 1):
                state, metrics = run_epoch(state, after_step)
                values = {k: float(v) for k, v in jax.device_get(metrics).items()}
                now = time.perf_counter()
                row = {**values, "epoch": epoch, "seconds": now - started}
                started = now
                # The row before the checkpoint: then a checkpoint that is there has
                # the rows of all its epochs, and the last one the norms as well.
                if writer is not None:
                    writer.write(row)
                    if config.record_gradient_norms and epoch == config.epochs:
                        norms = recorded_gradient_norms(state)
                        write_gradient_norms(folder, norms)
                run_epoch.save(checkpoints, state)
                on_epoch(row)
                interrupt.raise_if_pending(any_process)
    wait_for_all("record complete")
    return read_metrics(folder)


def describe(config: RunConfig, dataset: Dataset | StreamedDataset) -> dict[str, Any]:
    """Returns what a run's course depends on, but its configuration only names."""
    workload = choose(WORKLOADS, "workload", config.workload)
    # The images' last bits may differ between versions of NumPy; labels are integers.
    labels = jax.device_get((dataset.train_labels, dataset.test_labels))
    checksum = 0
    for array in labels:
        checksum = zlib.crc32(array.tobytes(), checksum)
    description = {
        "train_examples": len(dataset.train_labels),
        "test_examples": len(dataset.test_labels),
        "labels_crc32": f"{checksum:08x}",
        "batch_size": workload.batch_size,
        "learning_rate": workload.learning_rate,
    }
    if isinstance(dataset, StreamedDataset):
        # Of which checkpoints are counted.
        steps = len(dataset.train_labels) // workload.batch_size
        description["steps_per_epoch"] = steps
    return description


def start(
    config: RunConfig, dataset: Dataset | StreamedDataset, devices: Devices
) -> tuple[Any, Epoch]:
    """Returns the state before the first epoch, and what does an epoch and saves it."""
    if isinstance(dataset, StreamedDataset):
        return set_up_stream(config, dataset, devices)
    state, run_epoch = set_up(config, dataset, devices)
    return state, EpochOnDevice(run_epoch, devices.replicate(dataset))


def set_up(
    config: RunConfig, dataset: Dataset, devices: Devices = ONE_DEVICE
) -> tuple[TrainState, EpochFn]:
    """Returns the state before the first epoch, and the function that does an epoch.

    Args:
      config: the run.
      dataset: the workload's data, without the examples held out.
      devices: what to train on.
    """
    training = Training.of(config, dataset, devices)
    run_epoch = make_epoch(
        training.graphdef,
        training.schedule,
        training.order_key,
        training.workload,
        training.steps_per_epoch,
        devices,
    )
    return devices.replicate(training.state), run_epoch


def set_up_stream(
    config: RunConfig, dataset: StreamedDataset, devices: Devices = ONE_DEVICE
) -> tuple[StreamState, StreamedEpoch]:
    """As :func:`set_up`, for data that do not fit the device."""
    training = Training.of(config, dataset, devices)
    run_epoch = StreamedEpoch(
        training.graphdef,
        training.schedule,
        training.order_key,
        training.workload,
        dataset,
        devices,
    )
    return devices.replicate(StreamState.of(training.state)), run_epoch


class Training(NamedTuple):
    """What a run begins with, whatever kind of data it has."""

    graphdef: nnx.GraphDef
    state: TrainState
    schedule: Schedule
    order_key: jax.Array
    workload: Workload
    steps_per_epoch: int

    @classmethod
    def of(
        cls,
        config: RunConfig,
        dataset: Dataset | StreamedDataset,
        devices: Devices = ONE_DEVICE,
    ) -> "Training":
        """Initialises the network and the optimizer.

        Raises:
          UserError: the devices cannot share a batch evenly; a batch is larger than the
            data set.
        """
        workload = choose(WORKLOADS, "workload", config.workload)
        devices.check_divides(workload.batch_size)
        steps_per_epoch = len(dataset.train_labels) // workload.batch_size
        if not steps_per_epoch:
            raise UserError(
                f"{len(dataset.train_labels)} training examples fill no batch of"
                f" {workload.batch_size}, which is {config.workload}'s."
            )
        init_key, order_key = jax.random.split(jax.random.key(config.seed))
        model = workload.model(
            dataset, nnx.Rngs(init_key), dtype=jnp.dtype(config.compute_dtype)
        )
        graphdef, params, rest = nnx.split(model, nnx.Param, ...)
        # Plain dictionaries of arrays: what optax, AutoDrop and Orbax all take as it
        # is.
        params, rest = nnx.to_pure_dict(params), nnx.to_pure_dict(rest)
        build = choose(SCHEDULES, "schedule", config.schedule)
        schedule = build(config, Recipe.of(config, workload, steps_per_epoch))
        state = TrainState(
            params=params,
            rest=rest,
            opt_state=schedule.optimizer.init(params),
            epoch=jnp.zeros((), jnp.int32),
        )
        return cls(graphdef, state, schedule, order_key, workload, steps_per_epoch)
