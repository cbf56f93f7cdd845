"""Orbax checkpoints, of which the last two stay."""

from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import orbax.checkpoint as ocp

from experiments.errors import UserError

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

    def save(
        self, number: int, state: object, reader: dict[str, Any] | None = None
    ) -> None:
        """Saves a state; returns once it may be overwritten.

        Args:
          number: what it is saved under; larger than those before.
          state: a pytree of arrays.
          reader: what a reader of data needs to go on from here, as JSON; None: there
            is no reader. The same in all processes.
        """
        arguments: Any = ocp.args.StandardSave(state)
        if reader is not None:
            arguments = ocp.args.Composite(
                state=arguments, reader=ocp.args.JsonSave(reader)
            )
        self._manager.save(number, args=arguments)

    def restore_latest(self, like: State) -> State:
        """Returns the state of the last checkpoint, or ``like`` if there is none.

        Args:
          like: a state of the same structure, shapes and dtypes.

        Raises:
          UserError: the checkpoint is of another state.
        """
        number = self._manager.latest_step()
        if number is None:
            return like
        self._check(number, "default", like)
        return cast(State, self._manager.restore(number, args=_restore(like)))

    def restore_latest_with_reader(
        self, like: State
    ) -> tuple[State, dict[str, Any] | None]:
        """As :meth:`restore_latest`, with the reader's state, None without one."""
        number = self._manager.latest_step()
        if number is None:
            return like, None
        self._check(number, "state", like)
        saved = self._manager.restore(
            number,
            args=ocp.args.Composite(
                state=_restore(like), reader=ocp.args.JsonRestore()
            ),
        )
        return cast(State, saved["state"]), saved["reader"]

    def _check(self, number: int, item: str, like: object) -> None:
        # Not by trying: where Orbax fails half way, its threads fail on after it.
        folder = self._manager.directory / str(number) / item
        there = _shapes(ocp.StandardCheckpointHandler().metadata(folder).tree)
        here = _shapes(like)
        for name in [*here, *there]:
            if there.get(name) != here.get(name):
                raise UserError(
                    f"{folder} is of another state, as another version of"
                    f" autodrop_optax or of a model may have made it ({name}:"
                    f" {there.get(name, 'nothing')} there, {here.get(name, 'nothing')}"
                    " here): go on with the versions in the run's environment.json, or"
                    " move the run's folder away and begin anew."
                )


def _shapes(tree: object) -> dict[str, tuple[int, ...]]:
    """The shapes of the leaves by their names, of arrays or of what Orbax has noted."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def _restore(like: object) -> ocp.args.StandardRestore:
    return ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like))
