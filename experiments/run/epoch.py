"""An epoch of training as one jitted function."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import optax
from flax import nnx

from experiments.data.dataset import Dataset
from experiments.run.checkpoints import Checkpoints
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.evaluation import cross_entropy, evaluate
from experiments.schedules import Schedule
from experiments.task.workloads import Workload


class TrainState(NamedTuple):
    """What an epoch changes, and what a checkpoint holds."""

    params: Any  # tree of arrays: the model's nnx.Param
    rest: Any  # tree of arrays: all else of the model's state
    opt_state: optax.OptState
    epoch: jax.Array  # shape (), int32: epochs done


Metrics = dict[str, jax.Array]
EpochFn = Callable[[TrainState, Dataset], tuple[TrainState, Metrics]]


# (state, a batch's inputs and labels, key for their augmentation) -> state, mean loss.
StepFn = Callable[
    [TrainState, jax.Array, jax.Array, jax.Array | None],
    tuple[TrainState, jax.Array],
]


def make_step(graphdef: nnx.GraphDef, schedule: Schedule, workload: Workload) -> StepFn:
    """Builds the function that does one optimizer step on one batch."""

    def loss_fn(params, rest, inputs, labels):
        model = nnx.merge(graphdef, params, rest)
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
        updates, opt_state = schedule.optimizer.update(
            gradients, state.opt_state, state.params, value=loss
        )
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, rest, opt_state, state.epoch), loss

    return step


def make_epoch(
    graphdef: nnx.GraphDef,
    schedule: Schedule,
    order_key: jax.Array,
    workload: Workload,
    steps_per_epoch: int,
    devices: Devices = ONE_DEVICE,
) -> EpochFn:
    """Builds the jitted function that trains for one epoch and evaluates.

    Args:
      graphdef: the model without its state.
      schedule: the optimizer and its rate.
      order_key: with the epoch's number it gives the order of the examples, and what
        is random in their augmentation.
      workload: what makes the network's inputs of the data set's.
      steps_per_epoch: optimizer steps per epoch.
      devices: what to train on; each computes its share of every batch.

    Returns:
      A function of the state, which it donates, and the data set; it returns the state
      after the epoch and scalars to record, all on the devices.
    """
    batch_size = workload.batch_size
    train_step = make_step(graphdef, schedule, workload)

    def run_epoch(state, data, order_key):
        def step(state, batch):
            indices, key = batch
            indices = devices.divide(indices)
            inputs = devices.divide(data["train_inputs"][indices])
            labels = devices.divide(data["train_labels"][indices])
            return train_step(state, inputs, labels, key)

        rate = schedule.learning_rate(state.opt_state, state.epoch * steps_per_epoch)
        # The examples that do not fill a batch are left out, others in each epoch: all
        # steps are alike.
        epoch_key = jax.random.fold_in(order_key, state.epoch)
        order = jax.random.permutation(epoch_key, len(data["train_labels"]))
        batches = order[: steps_per_epoch * batch_size].reshape(-1, batch_size)
        keys = None
        if workload.augment is not None:
            # 0 and 1 would be the keys that the permutation makes for itself.
            keys = jax.random.split(jax.random.fold_in(epoch_key, 2), steps_per_epoch)
        state, losses = jax.lax.scan(step, state, (batches, keys))

        params, opt_state = schedule.end_epoch(state.params, state.opt_state)
        evaluated = schedule.evaluation_params(opt_state, params)
        model = nnx.merge(graphdef, evaluated, state.rest)
        metrics = {}
        for part in ("validation", "test"):
            labels = data[f"{part}_labels"]
            if labels is not None:
                metrics[f"{part}_loss"], metrics[f"{part}_error"] = evaluate(
                    model,
                    data[f"{part}_inputs"],
                    labels,
                    preprocess=workload.preprocess,
                    devices=devices,
                )
        if "validation_loss" in metrics:
            opt_state = schedule.validated(opt_state, metrics["validation_loss"])
        metrics |= schedule.metrics(opt_state)
        metrics |= {"learning_rate": rate, "train_loss": losses.mean()}
        return TrainState(params, state.rest, opt_state, state.epoch + 1), metrics

    jitted = devices.jit(run_epoch, donate_argnums=0)
    # The data set's name is no array: pass the arrays alone. The key is no constant:
    # all seeds have the same compiled code.
    return lambda state, data: jitted(state, data.arrays, order_key)


class Epoch(Protocol):
    """An epoch of training, whatever kind of data it has."""

    def __call__(
        self, state: Any, after_step: Callable[[Any, int], None]
    ) -> tuple[Any, Metrics]:
        """Trains to the end of the epoch and evaluates.

        Args:
          state: before a step; it is donated.
          after_step: called with the state after a step and the number of steps done in
            the epoch, where an epoch can be stopped between its steps; not after the
            last one.

        Returns:
          The state before the next epoch, and scalars to record.
        """
        ...

    def save(self, checkpoints: Checkpoints, state: Any) -> None:
        """Saves what is needed to go on."""
        ...

    def restore_latest(self, checkpoints: Checkpoints, like: Any) -> Any:
        """Returns the last state, ``like`` if there is none, and goes on from there."""
        ...

    def close(self) -> None:
        """Ends what reads the data."""
        ...


class EpochOnDevice(NamedTuple):
    """An epoch of training on data that are on the device."""

    run: EpochFn
    dataset: Dataset

    def save(self, checkpoints: Checkpoints, state: TrainState) -> None:
        """Saves the state."""
        checkpoints.save(int(state.epoch), state)

    def restore_latest(self, checkpoints: Checkpoints, like: TrainState) -> TrainState:
        """Returns the last state, ``like`` if there is none."""
        return checkpoints.restore_latest(like)

    def close(self) -> None:
        """There is nothing to end."""

    def __call__(
        self, state: TrainState, after_step: Callable[[Any, int], None]
    ) -> tuple[TrainState, Metrics]:
        """Trains for an epoch and evaluates; there is nothing between its steps."""
        del after_step
        return self.run(state, self.dataset)
