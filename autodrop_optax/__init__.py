"""AutoDrop for optax: the learning rate drops when the angular velocity saturates."""

from importlib.metadata import version

from autodrop_optax._angle import angle_between
from autodrop_optax._autodrop import AutoDropState, autodrop
from autodrop_optax._epoch_autodrop import EpochAutoDropState, epoch_autodrop
from autodrop_optax._evaluation import autodrop_eval_params
from autodrop_optax._metrics import autodrop_metrics
from autodrop_optax._restart import autodrop_restart
from autodrop_optax._windowed_autodrop import WindowedAutoDropState, windowed_autodrop
from autodrop_optax._with_epoch_autodrop import end_epoch, with_epoch_autodrop

__version__ = version("autodrop-optax")

__all__ = [
    "AutoDropState",
    "EpochAutoDropState",
    "WindowedAutoDropState",
    "angle_between",
    "autodrop",
    "autodrop_eval_params",
    "autodrop_metrics",
    "autodrop_restart",
    "end_epoch",
    "epoch_autodrop",
    "windowed_autodrop",
    "with_epoch_autodrop",
]
