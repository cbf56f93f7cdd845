"""AutoDrop for optax: the learning rate drops when the angular velocity saturates."""

from importlib.metadata import version

from autodrop_optax._algorithm import EpochAutoDropState
from autodrop_optax._angle import angle_between
from autodrop_optax._autodrop import AutoDropState, autodrop
from autodrop_optax._end_epoch import end_epoch
from autodrop_optax._evaluation import autodrop_eval_params
from autodrop_optax._gradient_norms import record_gradient_norms
from autodrop_optax._link import epoch_autodrop
from autodrop_optax._metrics import autodrop_metrics
from autodrop_optax._refined_schedule import refine_schedule
from autodrop_optax._restart import autodrop_restart
from autodrop_optax._windowed import windowed_autodrop
from autodrop_optax._windowed_algorithm import WindowedAutoDropState
from autodrop_optax._wrapper import with_epoch_autodrop

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
    "record_gradient_norms",
    "refine_schedule",
    "windowed_autodrop",
    "with_epoch_autodrop",
]
