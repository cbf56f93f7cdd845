"""Data-parallel training: every device takes its share of each batch.

Parameters, optimizer state and data set are on every device; a batch is divided among
them. The partitioner makes the rest of it: one sum over the devices per gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import tyro
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.errors import UserError
from experiments.run.distributed import join

T = TypeVar("T")

AXIS = "data"


@dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Attributes:
      mesh: all devices of all processes along the axis "data"; None: one device, where
        nothing is placed, so that JAX's default device is used.
    """

    mesh: Mesh | None = None

    @property
    def count(self) -> int:
        """The number of devices, those of other processes too."""
        return 1 if self.mesh is None else self.mesh.size

    def __str__(self) -> str:
        if self.mesh is None:
            return "1 device"
        processes = len({device.process_index for device in self.mesh.devices.flat})
        text = f"{self.count} devices"
        return text if processes == 1 else f"{text} of {processes} processes"

    def replicate(self, tree: T) -> T:
        """Returns a pytree with its arrays on every device; itself on a single one.

        Every process passes the same values.
        """
        if self.mesh is None:
            return tree
        leaves, treedef = jax.tree.flatten(tree)
        arrays = [x for x in leaves if isinstance(x, jax.Array)]
        # Not device_put, which does not take PRNG keys to other processes.
        placed = iter(self.jit(lambda x: x)(arrays))
        return treedef.unflatten(
            next(placed) if isinstance(x, jax.Array) else x for x in leaves
        )

    @property
    def process(self) -> tuple[int, int]:
        """This process's number, from 0, and how many processes there are."""
        if self.mesh is None:
            return 0, 1
        return jax.process_index(), jax.process_count()

    def share(self, tree: Any) -> Any:
        """Puts a batch on the devices, each its share.

        Args:
          tree: NumPy arrays, this process's share of the batch: of the first axis as
            much as of the devices.

        Returns:
          Arrays of the whole batch, divided among the devices along the first axis.
        """
        if self.mesh is None:
            return jax.tree.map(jnp.asarray, tree)
        sharding = NamedSharding(self.mesh, P(AXIS))
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(sharding, x), tree
        )

    def divide(self, batch: jax.Array) -> jax.Array:
        """Within a jitted function: divides the first axis among the devices."""
        if self.mesh is None:
            return batch
        return jax.lax.with_sharding_constraint(
            batch, NamedSharding(self.mesh, P(AXIS))
        )

    def jit(self, function: Callable, **options: Any) -> Callable:
        """As ``jax.jit``; every device holds the whole of what is returned."""
        if self.mesh is not None:
            options["out_shardings"] = NamedSharding(self.mesh, P())
        return jax.jit(function, **options)

    def round_up(self, size: int) -> int:
        """Returns the first multiple of the number of devices that is not less."""
        return size + -size % self.count

    def check_divides(self, batch_size: int) -> None:
        """Raises a UserError unless all devices' shares of a batch are equal."""
        if self.mesh is None or batch_size % self.count == 0:
            return
        processes = len({device.process_index for device in self.mesh.devices.flat})
        fitting = [
            n
            for n in range(1, self.count // processes + 1)
            if batch_size % (n * processes) == 0
        ]
        each = "" if processes == 1 else f" in each of the {processes} processes"
        remedy = (
            f"use {fitting[-1]}{each} with --devices {fitting[-1]}"
            if fitting
            else f"start a number of processes that divides {batch_size}"
        )
        raise UserError(
            f"a batch of {batch_size} images cannot be divided evenly among"
            f" {self}: {remedy}."
        )


ONE_DEVICE = Devices()


@dataclass(frozen=True)
class DeviceOptions:
    """By default, all devices of this one process."""

    devices: int | None = None
    """How many of each process's devices share a batch; by default all."""
    distributed: bool = False
    """One of several processes, each started with this command; JAX finds the others
    under SLURM, Open MPI, Kubernetes and on TPU pods. They need a common --out."""
    coordinator_address: str | None = None
    """HOST:PORT of process 0, where JAX does not find the processes by itself."""
    num_processes: int | None = None
    """How many processes there are, in the same case."""
    process_id: int | None = None
    """Which of them this is, from 0, in the same case."""


# A command's parameter of this type: its options stand beside the command's own.
OnDevices = Annotated[DeviceOptions, tyro.conf.arg(name="")]
ALL_DEVICES = DeviceOptions()


def set_up_devices(options: DeviceOptions) -> Devices:
    """Joins the other processes, if there are any, and returns the run's devices.

    Raises:
      UserError: there are no such processes or devices.
    """
    processes = (options.coordinator_address, options.num_processes, options.process_id)
    if options.distributed or any(value is not None for value in processes):
        join(*processes)
    return choose_devices(options.devices)


def choose_devices(per_process: int | None = None) -> Devices:
    """Returns the devices to run on.

    Args:
      per_process: how many of each process's devices; None: all of them.

    Raises:
      UserError: a process has fewer.
    """
    by_process: dict[int, list] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    fewest = min(map(len, by_process.values()))
    if per_process is not None and not 1 <= per_process <= fewest:
        raise UserError(
            f"--devices must be at least 1 and at most {fewest}, the number of devices"
            f" here, got {per_process}."
        )
    chosen = [d for devices in by_process.values() for d in devices[:per_process]]
    if len(chosen) == 1:
        return ONE_DEVICE
    mesh = jax.make_mesh(
        (len(chosen),), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen
    )
    return Devices(mesh)
