"""An epoch on data that do not fit the device: a jitted call for every batch.

What an epoch has come to can be saved between any two steps and gone on with, bit for
bit.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.data.streamed import StreamedDataset
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.epoch import STATISTICS_BATCHES, Epoch, Metrics, make_step
from experiments.run.evaluation import batch_sums
from experiments.run.setup import Training, TrainState

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


class StreamedEpoch(Epoch):
    """An epoch on batches that are read meanwhile.

    It holds the reader, whose state belongs into a checkpoint beside the training's.
    """

    def __init__(
        self,
        training: Training,
        dataset: StreamedDataset,
        devices: Devices = ONE_DEVICE,
    ):
        """Builds the jitted functions and opens the reader.

        Args:
          training: what a run begins with.
          dataset: what is read.
          devices: what to train on; each computes its share of every batch, and every
            process reads the share of its devices.
        """
        super().__init__(training, devices)
        workload, self._steps = training.workload, training.steps_per_epoch
        self._images = {"validation": dataset.validation, "test": dataset.test}
        self._dataset = dataset
        # Evaluation needs less memory than training: what fits there fits here.
        self._share = (workload.batch_size, *devices.process)
        self._seed = int(jax.random.bits(training.order_key, dtype=jnp.uint32))
        self._reader = dataset.train_batches(self._seed, *self._share)
        step_on = make_step(training)

        def train_step(state: StreamState, batch, order_key):
            train, index = state.train, state.step
            key = jax.random.fold_in(order_key, train.epoch)
            key = jax.random.fold_in(key, index)
            steps_done = train.epoch * self._steps
            rate = training.scheduled.learning_rate(train.opt_state, steps_done)
            first_rate = jnp.where(index == 0, rate, state.first_rate)
            train, loss = step_on(train, batch["inputs"], batch["labels"], key)
            state = StreamState(train, index + 1, state.loss_sum + loss, first_rate)
            return state, loss

        def add(sums, params, rest, batch):
            model = nnx.merge(training.graphdef, params, rest)
            model.eval()
            valid = batch["labels"] >= 0
            labels = jnp.maximum(batch["labels"], 0)
            inputs = workload.preprocess(batch["inputs"])
            return jax.tree.map(jnp.add, sums, batch_sums(model, inputs, labels, valid))

        self._step = devices.jit(train_step, donate_argnums=0)
        self._add = devices.jit(add)

    def __call__(
        self,
        state: StreamState,
        after_step: Callable[[StreamState, int], None] = lambda state, step: None,
        *,
        evaluated: bool = True,
    ) -> tuple[StreamState, Metrics]:
        """As :meth:`Epoch.__call__`, from a state which the reader's belongs to."""
        train, metrics = super().__call__(state, after_step, evaluated=evaluated)
        return self.devices.replicate(StreamState.of(train)), metrics

    @property
    def parts(self) -> tuple[str, ...]:
        """Of "validation" and "test", those that there are."""
        return tuple(x for x, images in self._images.items() if images is not None)

    def train(
        self, state: StreamState, after_step: Callable[[StreamState, int], None]
    ) -> tuple[TrainState, Metrics]:
        """Does the steps of an epoch that are left."""
        in_flight = InFlight()
        for step in range(int(state.step) + 1, self._steps + 1):
            batch = self.devices.share(next(self._reader))
            state, loss = self._step(state, batch, self.training.order_key)
            in_flight.add(loss)
            if step < self._steps:
                after_step(state, step)
        return state.train, {
            "learning_rate": state.first_rate,
            "train_loss": state.loss_sum / self._steps,
        }

    def evaluate(
        self, part: str, params: Any, rest: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Returns mean loss and error in percent on one of the parts, shape ()."""
        images = self._images[part]
        assert images is not None
        sums = (jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))
        sums = self.devices.replicate(sums)
        in_flight = InFlight()
        with contextlib.closing(self._dataset.in_order(images, *self._share)) as reader:
            for batch in reader:
                sums = self._add(sums, params, rest, self.devices.share(batch))
                in_flight.add(sums[0])
        loss, wrong = sums
        return loss / len(images), 100.0 * wrong / len(images)

    def statistics_batches(self, epoch: int) -> Iterator[jax.Array]:
        """Batches of training images, read anew with a seed of the epoch's own."""
        seed = self._seed + 1 + epoch
        preprocess = self.training.workload.preprocess
        with contextlib.closing(
            self._dataset.train_batches(seed, *self._share)
        ) as reader:
            for _, batch in zip(range(STATISTICS_BATCHES), reader, strict=False):
                yield preprocess(self.devices.share(batch)["inputs"])

    def save(self, checkpoints: Checkpoints, state: StreamState) -> None:
        """Saves the state and that of the reader."""
        number = int(state.epoch) * self._steps + int(state.step)
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


class InFlight:
    """Lets the process run ahead of the devices, but by a few steps only."""

    def __init__(self):
        self._results: deque[jax.Array] = deque()

    def add(self, result: jax.Array) -> None:
        """Takes what a step will give; waits for that of a few steps before."""
        self._results.append(result)
        if len(self._results) > _MOST_IN_FLIGHT:
            self._results.popleft().block_until_ready()
