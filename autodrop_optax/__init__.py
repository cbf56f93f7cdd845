"""AutoDrop for optax: the learning rate drops when the angular velocity saturates."""

from importlib.metadata import version

from autodrop_optax._algorithm import AutoDropState
from autodrop_optax._angle import angle_between
from autodrop_optax._autodrop import (
    autodrop,
    autodrop_metrics,
    end_epoch,
    with_autodrop,
)

__version__ = version("autodrop-optax")

__all__ = [
    "AutoDropState",
    "angle_between",
    "autodrop",
    "autodrop_metrics",
    "end_epoch",
    "with_autodrop",
]
