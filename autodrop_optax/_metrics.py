"""What there is to log."""

import jax
import optax

from autodrop_optax._states import find_states


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
        values = state.metrics()
        metrics |= {prefix * (len(found) > 1) + k: v for k, v in values.items()}
    return metrics
