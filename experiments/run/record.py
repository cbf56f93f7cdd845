"""The record of a run: what it depends on, and where it was done."""

import json
from pathlib import Path
from typing import Any

import jax

from experiments.errors import UserError
from experiments.run.distributed import is_primary, wait_for_all
from experiments.run.environment import PACKAGES, environment
from experiments.run.metrics import read_metrics
from experiments.task.config import RunConfig, differences

_CONFIG = "config.json"
_ENVIRONMENT = "environment.json"
CHECKPOINTS = "checkpoints"


def open_run(
    folder: Path, config: RunConfig, data: dict[str, Any], *, resume: bool
) -> None:
    """Makes the folder of a new run, or checks that this run may go on in it.

    Args:
      folder: the run's folder.
      config: what is to be run.
      data: what the run depends on besides, as the data set's size.
      resume: whether to go on with a run that is there.

    Raises:
      UserError: the folder holds a run and ``resume`` is false, or a run with another
        configuration or other data.
    """
    path = folder / _CONFIG
    if path.exists():
        if not resume:
            raise UserError(
                f"{folder} already holds a run: go on with it with --resume, or choose"
                " another folder with --out."
            )
        recorded = _read_json(path)
        changed = config.differences(_without_data(recorded))
        changed += differences(data, recorded.get("data", {}))
        if changed:
            raise UserError(
                f"{folder} holds a run with another configuration"
                f" ({'; '.join(changed)}): resume with the same one, or choose another"
                " folder with --out."
            )
    # No process may look into the folder after another has begun to write.
    wait_for_all("run checked")
    if is_primary() and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(path, {**config.dependencies(), "data": data})
    wait_for_all("run opened")


def is_finished(folder: Path, config: RunConfig) -> bool:
    """Whether the folder holds this very run, all epochs and the last checkpoint."""
    path = folder / _CONFIG
    if not path.exists():
        return False
    recorded = _read_json(path)
    if config.differences(_without_data(recorded)):
        return False
    # Where data are streamed, checkpoints are counted in steps.
    last = config.epochs * recorded.get("data", {}).get("steps_per_epoch", 1)
    return (
        len(read_metrics(folder)) == config.epochs
        and (folder / CHECKPOINTS / str(last)).exists()
    )


def _without_data(recorded: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recorded.items() if key != "data"}


def write_environment(folder: Path, data_source: str, devices: str) -> None:
    """Writes environment.json: versions, devices and where the data came from."""
    _write_json(
        folder / _ENVIRONMENT,
        {
            **environment((*PACKAGES, "orbax-checkpoint")),
            "platform": jax.devices()[0].platform,
            "devices": devices,
            "data": data_source,
        },
    )


def read_commit(folder: Path) -> str:
    """Returns the commit of the code that a run was done with, or "unknown"."""
    path = folder / _ENVIRONMENT
    return _read_json(path).get("commit", "unknown") if path.exists() else "unknown"


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _write_json(path: Path, content: dict) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    part.replace(path)
