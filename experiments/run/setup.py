"""The beginning of a run: its network, its optimizer, and their first state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from experiments.data.dataset import Dataset
from experiments.data.streamed import StreamedDataset
from experiments.errors import UserError, choose
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.schedules.schedule import ScheduledOptimizer, observed_apart
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS, Workload


class TrainState(NamedTuple):
    """What an epoch changes, and what a checkpoint holds."""

    params: Any  # tree of arrays: the model's nnx.Param
    rest: Any  # tree of arrays: all else of the model's state
    opt_state: optax.OptState
    epoch: jax.Array  # shape (), int32: epochs done


class Training(NamedTuple):
    """What a run begins with, whatever kind of data it has."""

    graphdef: nnx.GraphDef  # the model without its state
    state: TrainState
    scheduled: ScheduledOptimizer
    order_key: jax.Array  # of the examples' order and what is random in them
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
            data set; an option of the schedule is out of its range.
        """
        workload = choose(WORKLOADS, "workload", config.workload)
        devices.check_divides(workload.batch_size)
        steps_per_epoch = len(dataset.train_labels) // workload.batch_size
        if not steps_per_epoch:
            raise UserError(
                f"{len(dataset.train_labels)} training examples fill no batch of"
                f" {workload.batch_size}, which is {config.workload}'s: give it that"
                " many or more, beside those held out."
            )
        init_key, order_key = jax.random.split(jax.random.key(config.seed))
        model = workload.model(
            dataset, nnx.Rngs(init_key), dtype=jnp.dtype(config.compute_dtype)
        )
        graphdef, params, rest = nnx.split(model, nnx.Param, ...)
        # Plain dictionaries of arrays: what optax, AutoDrop and Orbax all take as it
        # is.
        params, rest = nnx.to_pure_dict(params), nnx.to_pure_dict(rest)
        scheduled = scheduled_optimizer(config, steps_per_epoch)
        state = TrainState(
            params=params,
            rest=rest,
            opt_state=scheduled.optimizer.init(params),
            epoch=jnp.zeros((), jnp.int32),
        )
        return cls(graphdef, state, scheduled, order_key, workload, steps_per_epoch)


def scheduled_optimizer(config: RunConfig, steps_per_epoch: int) -> ScheduledOptimizer:
    """Builds a run's optimizer, with its angular velocity recorded.

    Raises:
      UserError: an option of the schedule is out of its range.
    """
    recipe = config.recipe(steps_per_epoch)
    try:
        scheduled = config.schedule.filled(recipe).build(recipe)
    except ValueError as error:
        raise UserError(str(error)) from None
    return observed_apart(scheduled, recipe)
