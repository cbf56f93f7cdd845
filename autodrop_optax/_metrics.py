"""What there is to log."""

import jax
import optax

from autodrop_optax._algorithm import angular_velocity_change
from autodrop_optax._states import find_states


def autodrop_metrics(opt_state: optax.OptState) -> dict[str, jax.Array]:
    """Returns what there is to log, as scalars that ``float()`` takes.

    Args:
      opt_state: the state of an optimizer that contains :func:`autodrop` or is made by
        :func:`with_autodrop`.

    Returns:
      A dictionary. With several states in ``opt_state``, the path of each is put in
      front of its keys.

      * ``learning_rate``: alpha, without the schedules that the chain may hold.
      * ``angular_velocity``: degrees; NaN in the first epoch and without information.
      * ``angular_velocity_change``: what is compared with the threshold, degrees.
      * ``threshold``: theta, degrees.
      * ``delay_count``: k, epochs into the delay; 0 outside of it.
      * ``num_drops``: drops so far, those at the floor of the rate too.
      * ``epoch``: epochs finished.
      * ``step_norm``: l2 norm of the last epoch's step.
      * ``epochs_since_drop``: epochs since the last drop, or since the start.
      * ``averaged``: true right after an epoch end that moved the parameters: the
        moment to recompute BatchNorm statistics or to reset a moving average.

    Raises:
      ValueError: ``opt_state`` has no state of AutoDrop, one that a checkpoint restored
        without a target has made a plain dictionary, two that cover the same
        parameters, or one that scales the jumps of another optimizer.
    """
    found = find_states(opt_state)
    metrics = {}
    for path, state in found:
        prefix = jax.tree_util.keystr(path, simple=True, separator="/") + "/"
        values = {
            "learning_rate": state.hyperparams.initial_learning_rate * state.rate_scale,
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
        metrics |= {prefix * (len(found) > 1) + k: v for k, v in values.items()}
    return metrics
