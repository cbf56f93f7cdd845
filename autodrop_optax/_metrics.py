"""What there is to log."""

import jax
import optax

from autodrop_optax._algorithm import EpochAutoDropState, angular_velocity_change
from autodrop_optax._autodrop import AutoDropState
from autodrop_optax._states import find_states
from autodrop_optax._windowed_algorithm import WindowedAutoDropState


def autodrop_metrics(opt_state: optax.OptState) -> dict[str, jax.Array]:
    """Returns what there is to log, as scalars that ``float()`` takes.

    Args:
      opt_state: the state of an optimizer that contains :func:`epoch_autodrop` or
        :func:`windowed_autodrop`, or is made by :func:`with_epoch_autodrop`.

    Returns:
      A dictionary. With several states in ``opt_state``, the path of each is put in
      front of its keys. Of either method:

      * ``learning_rate``: alpha, without the schedules that the chain may hold.
      * ``angular_velocity``: degrees, of the last epoch or window; NaN before there
        are two steps and without information.
      * ``angular_velocity_change``: what is compared with the threshold, degrees. Of
        windows it is the change of the smoothed angle; NaN while the buffer fills.
      * ``threshold``: theta, degrees.
      * ``num_drops``: drops so far, those at the floor of the rate too.
      * ``step_norm``: l2 norm of the last step, of an epoch or from one window's mean
        to the next.

      Of :func:`epoch_autodrop` and :func:`with_epoch_autodrop` alone:

      * ``delay_count``: k, epochs into the delay; 0 outside of it.
      * ``epoch``: epochs finished.
      * ``epochs_since_drop``: epochs since the last drop, or since the start.
      * ``averaged``: true right after an epoch end that moved the parameters: the
        moment to recompute BatchNorm statistics or to reset a moving average.

      Of :func:`windowed_autodrop` alone:

      * ``window``: windows finished.
      * ``windows_since_drop``: windows since the last drop, or since the start.

    Raises:
      ValueError: ``opt_state`` has no state of AutoDrop, or one that a checkpoint
        restored without a target has made a plain dictionary.
    """
    found = find_states(opt_state)
    metrics = {}
    for path, state in found:
        prefix = jax.tree_util.keystr(path, simple=True, separator="/") + "/"
        if isinstance(state, AutoDropState):
            values = state.metrics()
            metrics |= {prefix * (len(found) > 1) + k: v for k, v in values.items()}
            continue
        values = {
            "learning_rate": state.hyperparams.initial_learning_rate * state.rate_scale
        }
        if isinstance(state, WindowedAutoDropState):
            values |= _of_windows(state)
        else:
            values |= _of_epochs(state)
        metrics |= {prefix * (len(found) > 1) + k: v for k, v in values.items()}
    return metrics


def _of_epochs(state: EpochAutoDropState) -> dict[str, jax.Array]:
    return {
        "angular_velocity": state.angles[-1],
        "angular_velocity_change": angular_velocity_change(state.angles),
        "threshold": state.threshold,
        "delay_count": state.delay_count,
        "num_drops": state.num_drops,
        "epoch": state.epoch,
        "step_norm": state.step_norm,
        "epochs_since_drop": state.epoch - state.last_drop_epoch,
        "averaged": state.averaged,
    }


def _of_windows(state: WindowedAutoDropState) -> dict[str, jax.Array]:
    return {
        "angular_velocity": state.angle,
        "angular_velocity_change": state.smoothed_change,
        "threshold": state.hyperparams.threshold,
        "num_drops": state.num_drops,
        "window": state.windows,
        "step_norm": state.step_norm,
        "windows_since_drop": state.windows - state.last_drop_window,
    }
