"""An epoch of training as one jitted function."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from flax import nnx

from experiments.data.dataset import Dataset
from experiments.devices import ONE_DEVICE, Devices
from experiments.evaluation import cross_entropy, evaluate
from experiments.schedules import Schedule
from experiments.workloads import Workload


class TrainState(NamedTuple):
    """What an epoch changes, and what a checkpoint holds."""

    params: Any  # tree of arrays: the model's nnx.Param
    rest: Any  # tree of arrays: all else of the model's state
    opt_state: optax.OptState
    epoch: jax.Array  # shape (), int32: epochs done


Metrics = dict[str, jax.Array]
EpochFn = Callable[[TrainState, Dataset], tuple[TrainState, Metrics]]


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
    batch_size, augment = workload.batch_size, workload.augment

    def loss_fn(params, rest, inputs, labels):
        model = nnx.merge(graphdef, params, rest)
        model.train()
        loss = cross_entropy(model(inputs), labels).mean()
        _, _, rest = nnx.split(model, nnx.Param, ...)
        return loss, nnx.to_pure_dict(rest)

    def run_epoch(state, data, order_key):
        def step(carry, batch):
            params, rest, opt_state = carry
            batch, key = batch
            batch = devices.divide(batch)
            inputs = devices.divide(data["train_inputs"][batch])
            labels = devices.divide(data["train_labels"][batch])
            if augment is not None:
                inputs = augment(key, inputs)
            inputs = workload.preprocess(inputs)
            gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
            (loss, rest), gradients = gradient_fn(params, rest, inputs, labels)
            updates, opt_state = schedule.optimizer.update(
                gradients, opt_state, params, value=loss
            )
            return (optax.apply_updates(params, updates), rest, opt_state), loss

        rate = schedule.learning_rate(state.opt_state, state.epoch * steps_per_epoch)
        # The examples that do not fill a batch are left out, others in each epoch: all
        # steps are alike.
        epoch_key = jax.random.fold_in(order_key, state.epoch)
        order = jax.random.permutation(epoch_key, len(data["train_labels"]))
        batches = order[: steps_per_epoch * batch_size].reshape(-1, batch_size)
        keys = None
        if augment is not None:
            keys = jax.random.split(jax.random.fold_in(epoch_key, 0), steps_per_epoch)
        (params, rest, opt_state), losses = jax.lax.scan(
            step, (state.params, state.rest, state.opt_state), (batches, keys)
        )

        params, opt_state = schedule.end_epoch(params, opt_state)
        model = nnx.merge(graphdef, schedule.evaluation_params(opt_state, params), rest)
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
        return TrainState(params, rest, opt_state, state.epoch + 1), metrics

    jitted = devices.jit(run_epoch, donate_argnums=0)
    # The data set's name is no array: pass the arrays alone. The key is no constant:
    # all seeds have the same compiled code.
    return lambda state, data: jitted(state, data.arrays, order_key)
