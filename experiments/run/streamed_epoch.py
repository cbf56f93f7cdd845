"""Training on data that do not fit the device: a jitted call for every batch.

The step is that of data on the device. What an epoch has come to can be saved between
any two steps and gone on with, bit for bit.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.data.image_folder import ImageFolder
from experiments.data.streamed import StreamedDataset
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.epoch import Metrics, TrainState, make_step
from experiments.run.evaluation import batch_sums
from experiments.schedules import Schedule
from experiments.task.workloads import Workload

# Steps that may wait on the device, each with its batch in the device's memory.
_MOST_IN_FLIGHT = 2


class StreamState(NamedTuple):
    """What a step changes, and what a checkpoint holds."""

    train: TrainState
    step: jax.Array  # shape (), int32: steps done in the present epoch
    loss_sum: jax.Array  # shape (), float32: over those steps
    first_rate: jax.Array  # shape (), float32: of the epoch's first step

    @property
    def epoch(self) -> jax.Array:
        """Epochs done, shape (), int32."""
        return self.train.epoch

    @classmethod
    def of(cls, train: TrainState) -> "StreamState":
        """Before the first step of an epoch."""
        return cls(
            train,
            step=jnp.zeros((), jnp.int32),
            loss_sum=jnp.zeros((), jnp.float32),
            first_rate=jnp.zeros((), jnp.float32),
        )


class StreamedEpoch:
    """An epoch of training on batches that are read meanwhile.

    Calling it trains from where the state is to the end of the epoch and evaluates. It
    holds the reader, whose state belongs into a checkpoint beside the training's.
    """

    def __init__(
        self,
        graphdef: nnx.GraphDef,
        schedule: Schedule,
        order_key: jax.Array,
        workload: Workload,
        dataset: StreamedDataset,
        devices: Devices = ONE_DEVICE,
    ):
        """Builds the jitted functions and opens the reader.

        Args:
          graphdef: the model without its state.
          schedule: the optimizer and its rate.
          order_key: it gives the order of the examples, and what is random in reading
            and in augmenting them.
          workload: what makes the network's inputs of the data set's.
          dataset: what is read.
          devices: what to train on; each computes its share of every batch, and every
            process reads the share of its devices.
        """
        self.steps_per_epoch = len(dataset.train) // workload.batch_size
        self._dataset, self._devices = dataset, devices
        # No constant: all seeds have the same compiled code.
        self._order_key = order_key
        # Evaluation needs less memory than training: what fits there fits here.
        self._share = (workload.batch_size, *devices.process)
        seed = int(jax.random.bits(order_key, dtype=jnp.uint32))
        self._reader = dataset.train_batches(seed, *self._share)
        step = make_step(graphdef, schedule, workload)

        def train_step(state: StreamState, batch, order_key):
            train, index = state.train, state.step
            key = jax.random.fold_in(order_key, train.epoch)
            key = jax.random.fold_in(key, index)
            steps_done = train.epoch * self.steps_per_epoch
            rate = schedule.learning_rate(train.opt_state, steps_done)
            first_rate = jnp.where(index == 0, rate, state.first_rate)
            train, loss = step(train, batch["inputs"], batch["labels"], key)
            state = StreamState(train, index + 1, state.loss_sum + loss, first_rate)
            return state, loss

        def end(state: StreamState):
            train = state.train
            params, opt_state = schedule.end_epoch(train.params, train.opt_state)
            train = train._replace(params=params, opt_state=opt_state)
            return state._replace(train=train)

        def add(sums, train: TrainState, batch):
            params = schedule.evaluation_params(train.opt_state, train.params)
            model = nnx.merge(graphdef, params, train.rest)
            model.eval()
            valid = batch["labels"] >= 0
            labels = jnp.maximum(batch["labels"], 0)
            inputs = workload.preprocess(batch["inputs"])
            return jax.tree.map(jnp.add, sums, batch_sums(model, inputs, labels, valid))

        def close(state: StreamState, metrics: Metrics):
            train = state.train
            opt_state = train.opt_state
            if "validation_loss" in metrics:
                loss = metrics["validation_loss"]
                opt_state = schedule.validated(opt_state, loss)
            metrics = metrics | schedule.metrics(opt_state)
            metrics["learning_rate"] = state.first_rate
            metrics["train_loss"] = state.loss_sum / self.steps_per_epoch
            train = train._replace(opt_state=opt_state, epoch=train.epoch + 1)
            return StreamState.of(train), metrics

        self._step = devices.jit(train_step, donate_argnums=0)
        self._end = devices.jit(end, donate_argnums=0)
        self._add = devices.jit(add)
        self._close = devices.jit(close, donate_argnums=0)

    def save(self, checkpoints: Checkpoints, state: StreamState) -> None:
        """Saves the state and that of the reader."""
        train = state.train
        number = int(train.epoch) * self.steps_per_epoch + int(state.step)
        checkpoints.save(number, state, self._reader.get_state())

    def restore_latest(
        self, checkpoints: Checkpoints, like: StreamState
    ) -> StreamState:
        """Returns the last state, ``like`` if there is none, and sets the reader."""
        state, reader = checkpoints.restore_latest_with_reader(like)
        if reader is not None:
            self._reader.set_state(reader)
        return state

    def close(self) -> None:
        """Ends the reader's threads."""
        self._reader.close()

    def __call__(
        self,
        state: StreamState,
        after_step: Callable[[StreamState, int], None] = lambda state, step: None,
    ) -> tuple[StreamState, Metrics]:
        """Trains to the end of the epoch and evaluates.

        Args:
          state: before a step of an epoch, which the reader's state belongs to; it is
            donated.
          after_step: called with the state after a step and the number of steps done in
            the epoch; not after the last one.

        Returns:
          The state before the first step of the next epoch, and scalars to record.
        """
        in_flight = InFlight()
        for step in range(int(state.step) + 1, self.steps_per_epoch + 1):
            batch = self._devices.share(next(self._reader))
            state, loss = self._step(state, batch, self._order_key)
            in_flight.add(loss)
            if step < self.steps_per_epoch:
                after_step(state, step)
        state = self._end(state)
        metrics: Metrics = {}
        for part, images in (
            ("validation", self._dataset.validation),
            ("test", self._dataset.test),
        ):
            if images is not None:
                loss, error = self._evaluate(state.train, images)
                metrics |= {f"{part}_loss": loss, f"{part}_error": error}
        return self._close(state, metrics)

    def _evaluate(
        self, train: TrainState, images: ImageFolder
    ) -> tuple[jax.Array, jax.Array]:
        sums = (jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))
        sums = self._devices.replicate(sums)
        in_flight = InFlight()
        with contextlib.closing(self._dataset.in_order(images, *self._share)) as reader:
            for batch in reader:
                sums = self._add(sums, train, self._devices.share(batch))
                in_flight.add(sums[0])
        loss, wrong = sums
        return loss / len(images), 100.0 * wrong / len(images)


class InFlight:
    """Lets the process run ahead of the devices, but by a few steps only."""

    def __init__(self):
        self._results: deque[jax.Array] = deque()

    def add(self, result: jax.Array) -> None:
        """Takes what a step will give; waits for that of a few steps before."""
        self._results.append(result)
        if len(self._results) > _MOST_IN_FLIGHT:
            self._results.popleft().block_until_ready()
