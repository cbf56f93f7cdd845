"""Several processes that train together: how they meet, and which of them speaks."""

import os
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.errors import UserError


def join(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the other processes of a run; from then on only process 0 prints.

    Call it before JAX has computed anything.

    Args:
      coordinator_address: HOST:PORT of process 0; as the next two, JAX finds it by
        itself under SLURM, Open MPI, Kubernetes and on TPU pods.
      num_processes: how many processes there are.
      process_id: which of them this is, from 0.

    Raises:
      UserError: something is neither given nor found.
    """
    try:
        jax.distributed.initialize(coordinator_address, num_processes, process_id)
    except ValueError as error:
        raise UserError(
            f"JAX cannot tell the processes of this run ({error}) Start it under SLURM,"
            " Open MPI, Kubernetes or on a TPU pod, or name all three:"
            " --coordinator-address HOST:PORT --num-processes N --process-id I."
        ) from None
    if not is_primary():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (until the end)


def is_primary() -> bool:
    """Whether this is the process that prints and writes the record."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns once every process has come to this place, which ``name`` names."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def any_process(flag: bool) -> bool:
    """Whether ``flag`` is true in any process; the answer is the same in all."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def check_same(content: str, what: str) -> None:
    """Raises a UserError in every process unless ``content`` is the same in all."""
    if jax.process_count() == 1:
        return
    checksum = np.array(zlib.crc32(content.encode()), np.uint32)
    checksums = multihost_utils.process_allgather(checksum).ravel()
    others = [i for i, value in enumerate(checksums) if value != checksums[0]]
    if others:
        raise UserError(
            f"{what} of process {', '.join(map(str, others))} is not that of process 0:"
            " start all processes with the same options, but for --process-id."
        )
