"""An epoch of training: its steps, its end, and what is evaluated then."""

import abc
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from autodrop_optax.flax import recompute_batch_stats
from experiments.data.dataset import Dataset
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.evaluation import cross_entropy, evaluate
from experiments.run.setup import Training, TrainState

# Whose statistics BatchNorm gets at parameters that are evaluated and not trained.
STATISTICS_BATCHES = 50

Metrics = dict[str, jax.Array]
# (state, a batch's inputs and labels, key for their augmentation) -> state, mean loss.
StepFn = Callable[
    [TrainState, jax.Array, jax.Array, jax.Array | None],
    tuple[TrainState, jax.Array],
]


def make_step(training: Training) -> StepFn:
    """Builds the function that does one optimizer step on one batch."""
    workload = training.workload
    optimizer = optax.with_extra_args_support(training.scheduled.optimizer)

    def loss_fn(params, rest, inputs, labels):
        model = nnx.merge(training.graphdef, params, rest)
        model.train()
        loss = cross_entropy(model(inputs), labels).mean()
        _, _, rest = nnx.split(model, nnx.Param, ...)
        return loss, nnx.to_pure_dict(rest)

    def step(state, inputs, labels, key):
        if workload.augment is not None:
            inputs = workload.augment(key, inputs)
        inputs = workload.preprocess(inputs)
        gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, rest), gradients = gradient_fn(state.params, state.rest, inputs, labels)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, state.params, value=loss
        )
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, rest, opt_state, state.epoch), loss

    return step


class Epoch(abc.ABC):
    """An epoch of training, whatever kind of data it has.

    Calling it trains to the end of the epoch and evaluates.
    """

    def __init__(self, training: Training, devices: Devices = ONE_DEVICE):
        """Builds the jitted functions.

        Args:
          training: what a run begins with.
          devices: what to train on; each computes its share of every batch.
        """
        self.training, self.devices = training, devices
        scheduled, first = training.scheduled, training.state
        model = nnx.merge(training.graphdef, first.params, first.rest)
        modules = [module for _, module in nnx.iter_modules(model)]
        self._batch_norm = any(isinstance(x, nnx.BatchNorm) for x in modules)

        def end(state: TrainState) -> TrainState:
            if scheduled.end_epoch is None:
                return state
            params, opt_state = scheduled.end_epoch(state.params, state.opt_state)
            return state._replace(params=params, opt_state=opt_state)

        def close(state: TrainState, metrics: Metrics) -> tuple[TrainState, Metrics]:
            opt_state = state.opt_state
            if scheduled.validated is not None:
                opt_state = scheduled.validated(opt_state, metrics["validation_loss"])
            metrics = scheduled.metrics(opt_state) | metrics
            return state._replace(opt_state=opt_state, epoch=state.epoch + 1), metrics

        self._end = devices.jit(end, donate_argnums=0)
        self._close = devices.jit(close, donate_argnums=0)
        self._eval_params = scheduled.eval_params and devices.jit(scheduled.eval_params)

    def __call__(
        self,
        state: Any,
        after_step: Callable[[Any, int], None] = lambda state, step: None,
        *,
        evaluated: bool = True,
    ) -> tuple[Any, Metrics]:
        """Trains to the end of the epoch and evaluates.

        Args:
          state: before a step; it is donated.
          after_step: called with the state after a step and the number of steps done in
            the epoch, where an epoch can be stopped between its steps; not after the
            last one.
          evaluated: whether to evaluate; if not, what would come of it is NaN.

        Returns:
          The state before the next epoch, and scalars to record.
        """
        train, metrics = self.train(state, after_step)
        train = self._end(train)
        metrics |= self._evaluate(train, evaluated)
        return self._close(train, metrics)

    def _evaluate(self, state: TrainState, evaluated: bool) -> Metrics:
        params, rest = state.params, state.rest
        if evaluated and self._eval_params is not None:
            params = self._eval_params(state.opt_state, params)
            if self._batch_norm:
                # Those in the state belong to the parameters that are trained.
                model = nnx.merge(self.training.graphdef, params, rest)
                recompute_batch_stats(model, self.statistics_batches(int(state.epoch)))
                _, _, rest = nnx.split(model, nnx.Param, ...)
                rest = nnx.to_pure_dict(rest)
        watched = self.training.scheduled.validated is not None
        metrics: Metrics = {}
        for part in self.parts:
            loss = error = jnp.float32(jnp.nan)
            if evaluated or (watched and part == "validation"):
                loss, error = self.evaluate(part, params, rest)
            metrics |= {f"{part}_loss": loss, f"{part}_error": error}
        return metrics

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[str, ...]:
        """Of "validation" and "test", those that there are."""

    @abc.abstractmethod
    def train(
        self, state: Any, after_step: Callable[[Any, int], None]
    ) -> tuple[TrainState, Metrics]:
        """Does the steps of an epoch; returns the mean loss and the first rate."""

    @abc.abstractmethod
    def evaluate(
        self, part: str, params: Any, rest: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Returns mean loss and error in percent on one of the parts, shape ()."""

    @abc.abstractmethod
    def statistics_batches(self, epoch: int) -> Iterator[jax.Array]:
        """Some batches of training inputs, as the network takes them."""

    @abc.abstractmethod
    def save(self, checkpoints: Checkpoints, state: Any) -> None:
        """Saves what is needed to go on."""

    @abc.abstractmethod
    def restore_latest(self, checkpoints: Checkpoints, like: Any) -> Any:
        """Returns the last state, ``like`` if there is none, and goes on from there."""

    def close(self) -> None:  # noqa: B027 (nothing to do, as a rule)
        """Ends what reads the data, if anything does."""


class EpochOnDevice(Epoch):
    """An epoch on data that are on the device: its steps are one jitted function."""

    def __init__(
        self, training: Training, dataset: Dataset, devices: Devices = ONE_DEVICE
    ):
        """Builds the jitted functions.

        Args:
          training: what a run begins with.
          dataset: the workload's data, without the examples held out.
          devices: what to train on; each computes its share of every batch.
        """
        super().__init__(training, devices)
        self._data = devices.replicate(dataset).arrays
        workload, steps_per_epoch = training.workload, training.steps_per_epoch
        step_on, size = make_step(training), workload.batch_size

        def train(state: TrainState, data, order_key):
            def step(state, batch):
                indices, key = batch
                indices = devices.divide(indices)
                inputs = devices.divide(data["train_inputs"][indices])
                labels = devices.divide(data["train_labels"][indices])
                return step_on(state, inputs, labels, key)

            steps_done = state.epoch * steps_per_epoch
            rate = training.scheduled.learning_rate(state.opt_state, steps_done)
            # The examples that do not fill a batch are left out, others in each epoch:
            # all steps are alike.
            epoch_key = jax.random.fold_in(order_key, state.epoch)
            order = jax.random.permutation(epoch_key, len(data["train_labels"]))
            batches = order[: steps_per_epoch * size].reshape(-1, size)
            keys = None
            if workload.augment is not None:
                # 0 and 1 would be the keys that the permutation makes for itself.
                key = jax.random.fold_in(epoch_key, 2)
                keys = jax.random.split(key, steps_per_epoch)
            state, losses = jax.lax.scan(step, state, (batches, keys))
            return state, {"learning_rate": rate, "train_loss": losses.mean()}

        def evaluate_on(params, rest, inputs, labels):
            model = nnx.merge(training.graphdef, params, rest)
            preprocess = workload.preprocess
            return evaluate(model, inputs, labels, preprocess, devices=devices)

        def batch_of(inputs, key):
            order, augmentation = jax.random.split(key)
            indices = jax.random.randint(order, (size,), 0, len(inputs))
            batch = devices.divide(inputs[devices.divide(indices)])
            if workload.augment is not None:
                batch = workload.augment(augmentation, batch)
            return workload.preprocess(batch)

        # The order's key is no constant: all seeds have the same compiled code.
        self._train = devices.jit(train, donate_argnums=0)
        self._evaluate_on = devices.jit(evaluate_on)
        self._batch_of = jax.jit(batch_of)

    @property
    def parts(self) -> tuple[str, ...]:
        """Of "validation" and "test", those that there are."""
        names = ("validation", "test")
        return tuple(x for x in names if self._data[f"{x}_labels"] is not None)

    def train(
        self, state: TrainState, after_step: Callable[[Any, int], None]
    ) -> tuple[TrainState, Metrics]:
        """Does the steps of an epoch; there is nothing between them."""
        del after_step
        return self._train(state, self._data, self.training.order_key)

    def evaluate(
        self, part: str, params: Any, rest: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Returns mean loss and error in percent on one of the parts, shape ()."""
        data = self._data
        inputs, labels = data[f"{part}_inputs"], data[f"{part}_labels"]
        return self._evaluate_on(params, rest, inputs, labels)

    def statistics_batches(self, epoch: int) -> Iterator[jax.Array]:
        """Batches of the training inputs, drawn at random."""
        # Beside the keys of an epoch's order and augmentation.
        key = jax.random.fold_in(self.training.order_key, epoch)
        keys = jax.random.split(jax.random.fold_in(key, 3), STATISTICS_BATCHES)
        return (self._batch_of(self._data["train_inputs"], key) for key in keys)

    def save(self, checkpoints: Checkpoints, state: TrainState) -> None:
        """Saves the state."""
        checkpoints.save(int(state.epoch), state)

    def restore_latest(self, checkpoints: Checkpoints, like: TrainState) -> TrainState:
        """Returns the last state, ``like`` if there is none."""
        return checkpoints.restore_latest(like)
