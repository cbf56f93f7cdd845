"""The training loop: an epoch, its row of the record, a checkpoint."""

import contextlib
import json
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from autodrop_optax.refinement import recorded_gradient_norms
from experiments.data.dataset import Dataset
from experiments.data.streamed import StreamedDataset
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.distributed import (
    any_process,
    check_same,
    is_primary,
    wait_for_all,
)
from experiments.run.epoch import Epoch, EpochOnDevice, Metrics
from experiments.run.gradient_norms import write_gradient_norms
from experiments.run.interrupts import DeferredInterrupt
from experiments.run.metrics import MetricsWriter, Row, read_metrics
from experiments.run.record import CHECKPOINTS, is_finished, open_run, write_environment
from experiments.run.setup import Training
from experiments.run.streamed_epoch import StreamedEpoch, StreamState
from experiments.task.config import RunConfig

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
      it, or those that a person would use in their place, as an average, and NaN where
      there was no evaluation; ``validation_loss`` and ``validation_error`` too where
      examples are held out; ``seconds`` is the time since the row before, checkpoint
      included; the others are those of :func:`autodrop_metrics`, or what the
      schedule puts in their place.

    Raises:
      UserError: the run in ``folder`` must not be overwritten or resumed; the devices
        cannot share a batch evenly; processes disagree on what to run.
    """
    dataset = dataset.hold_out(config.validation_fraction)
    data = describe(config, dataset)
    everything = [config.dependencies(), data, str(folder), resume]
    check_same(json.dumps(everything), "the run")
    state, run_epoch = set_up(config, dataset, devices)
    with contextlib.ExitStack() as stack:
        stack.callback(run_epoch.close)
        open_run(folder, config, data, resume=resume)
        if is_finished(folder, config):
            return read_metrics(folder)
        checkpoints = stack.enter_context(Checkpoints(folder / CHECKPOINTS))
        state = run_epoch.restore_latest(checkpoints, like=state)
        epochs_done = int(state.epoch)
        writer = None
        if is_primary():
            write_environment(folder, str(dataset), str(devices))
            writer = stack.enter_context(MetricsWriter(folder, epochs_done))
        interrupt = stack.enter_context(DeferredInterrupt())

        def after_step(state, step):
            if step % checkpoint_steps == 0:
                run_epoch.save(checkpoints, state)
                interrupt.raise_if_pending(any_process)

        rows = [row for row in read_metrics(folder) if row["epoch"] <= epochs_done]
        started = time.perf_counter()
        for epoch in range(epochs_done + 1, config.epochs + 1):
            evaluated = config.evaluates(epoch)
            state, metrics = run_epoch(state, after_step, evaluated=evaluated)
            values = recorded(metrics)
            now = time.perf_counter()
            row = {**values, "epoch": epoch, "seconds": now - started}
            started = now
            rows.append(row)
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
    return rows


def recorded(metrics: Metrics) -> Row:
    """Returns an epoch's scalars as the record has them: what is not finite is NaN."""
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    return {k: v if math.isfinite(v) else math.nan for k, v in values.items()}


def describe(config: RunConfig, dataset: Dataset | StreamedDataset) -> dict[str, Any]:
    """Returns what a run depends on besides its configuration: the data."""
    # The images' last bits may differ between versions of NumPy; labels are integers.
    labels = jax.device_get((dataset.train_labels, dataset.test_labels))
    checksum = 0
    for array in labels:
        checksum = zlib.crc32(array.tobytes(), checksum)
    description: dict[str, Any] = {
        "train_examples": len(dataset.train_labels),
        "test_examples": len(dataset.test_labels),
        "labels_crc32": f"{checksum:08x}",
    }
    if isinstance(dataset, StreamedDataset):
        # Of which checkpoints are counted.
        size = config.recipe(steps_per_epoch=0).batch_size
        description["steps_per_epoch"] = len(dataset.train_labels) // size
    return description


def set_up(
    config: RunConfig,
    dataset: Dataset | StreamedDataset,
    devices: Devices = ONE_DEVICE,
) -> tuple[Any, Epoch]:
    """Returns the state before the first epoch, and what does an epoch and saves it.

    Args:
      config: the run.
      dataset: the workload's data, without the examples held out.
      devices: what to train on.
    """
    training = Training.of(config, dataset, devices)
    if isinstance(dataset, StreamedDataset):
        state = devices.replicate(StreamState.of(training.state))
        return state, StreamedEpoch(training, dataset, devices)
    return devices.replicate(training.state), EpochOnDevice(training, dataset, devices)
