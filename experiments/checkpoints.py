"""One Orbax checkpoint per epoch, of which the last two stay."""

from pathlib import Path
from typing import TypeVar, cast

import jax
import orbax.checkpoint as ocp

State = TypeVar("State")


class Checkpoints:
    """The checkpoints of one run, as a context that waits for the last one.

    Orbax writes in the background into a temporary folder and renames that when all is
    on disk, so a process that dies at any moment leaves the epoch before.
    """

    def __init__(self, folder: Path):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, cleanup_tmp_directories=True
        )
        # Orbax asks for an absolute path.
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception) -> None:
        self._manager.close()

    def save(self, epoch: int, state: object) -> None:
        """Saves the state after an epoch; returns once it may be overwritten."""
        self._manager.save(epoch, args=ocp.args.StandardSave(state))

    def restore_latest(self, like: State) -> State:
        """Returns the state of the last checkpoint, or ``like`` if there is none.

        Args:
          like: a state of the same structure, shapes and dtypes.
        """
        epoch = self._manager.latest_step()
        if epoch is None:
            return like
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        state = self._manager.restore(epoch, args=ocp.args.StandardRestore(abstract))
        return cast(State, state)
