"""AutoDrop for optax: the learning rate drops when parameters stop making headway.

================  =====================================================================
the methods       ``_autodrop``, the default; ``_epoch_autodrop`` (with
                  ``_with_epoch_autodrop``, around an optimizer and at the end of an
                  epoch) and ``_windowed_autodrop``, as published
what they share   ``_angle``, ``_anchor``, ``_scale``; ``_link`` around a rule;
                  ``_placement`` of copies; ``_params`` and ``_checks``, of what users
                  give; ``_trees``, ``_once``
the doors         ``_states``, which finds them in the state of an optimizer;
                  ``_metrics``, ``_evaluation``, ``_restart``; ``flax``, ``plot``
besides           ``refinement``, of schedules by gradient norms
================  =====================================================================

A new method is one file, with the checks of its own arguments a line each in
``_checks`` and its state's name in ``_states``.
"""

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
