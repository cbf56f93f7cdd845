"""The norms of a run's gradients, in a file of its folder."""

from pathlib import Path

import numpy as np

from experiments.errors import UserError

_FILE = "gradient_norms.npy"


def write_gradient_norms(folder: Path, norms: np.ndarray) -> None:
    """Writes the norms of a run's gradients, shape (norms,), evenly spaced over it."""
    part = folder / f"{_FILE}.part"
    with part.open("wb") as file:
        np.save(file, norms)
    part.replace(folder / _FILE)


def read_gradient_norms(folder: Path) -> np.ndarray:
    """Reads the norms of a run's gradients, shape (norms,).

    Raises:
      UserError: the run has not recorded them, or is not finished.
    """
    path = folder / _FILE
    if not path.exists():
        raise UserError(
            f"{folder} has no norms of gradients: make a run there with"
            " --record-gradient-norms, to its end."
        )
    return np.load(path)
