"""What there is to log."""

from collections.abc import Sequence
from typing import Any

import jax
import optax
from jax.tree_util import DictKey, SequenceKey

from autodrop_optax._states import find_states


@jax.tree_util.register_pytree_with_keys_class
class Metrics(dict[str, jax.Array]):
    """A dictionary whose error for a missing key says which keys there are."""

    def __missing__(self, key):
        suffix = f"/{key}"
        ours = [name for name in self if name.endswith(suffix)]
        if ours:
            raise KeyError(
                f"{key!r}: there are several states of AutoDrop, so a key begins with"
                f" where its state is. Take one of {', '.join(map(repr, ours))}."
            )
        raise KeyError(f"{key!r}: there are {', '.join(map(repr, self))}.")

    def tree_flatten_with_keys(self):
        """The items in their order, and the names."""
        return [(DictKey(name), value) for name, value in self.items()], tuple(self)

    @classmethod
    def tree_unflatten(cls, names, values):
        """The inverse."""
        return cls(zip(names, values, strict=True))


def autodrop_metrics(opt_state: optax.OptState) -> dict[str, jax.Array]:
    """Returns what there is to log, as scalars that ``float()`` takes.

    With several states in ``opt_state`` the keys begin with where each is: with the
    labels that lead to it, ``"encoder/angular_velocity"`` under ``optax.partition``
    (or a name of ``optax.named_chain``); where these do not tell the states apart, with
    the positions in chains as well, ``"0/angular_velocity"``. A key that is not there
    is an error that says which are.

    Args:
      opt_state: the state of an optimizer that contains :func:`autodrop`,
        :func:`epoch_autodrop` or :func:`windowed_autodrop`, or is made by
        :func:`with_epoch_autodrop`.

    Returns:
      A dictionary, under ``jax.jit`` too. Nothing in it is ever NaN: of the published
      methods, an angle or a change that is not there, for lack of steps or of
      information, is infinite (plots leave it out).

      Of :func:`autodrop`:

      * ``scale``: what updates are multiplied by. The rate of a step is this times that
        of the optimizer, or of its schedule.
      * ``num_drops``: drops so far.
      * ``angle``: degrees, of the last check; 0 before the third check.
      * ``max_angle``: degrees, from which on there is no headway.
      * ``steps_since_drop``: updates since the last drop, or since the start.
      * ``next_check``: the value of ``steps_since_drop`` at the next check.
      * ``at_floor``: whether the scale is ``min_scale``.

      Of :func:`epoch_autodrop`, :func:`with_epoch_autodrop` and
      :func:`windowed_autodrop`:

      * ``learning_rate``: alpha, without the schedules that the chain may hold. At the
        floor it equals ``min_learning_rate`` in float32.
      * ``angular_velocity``: degrees, of the last epoch or window.
      * ``angular_velocity_change``: what is compared with the threshold, degrees. Of
        windows it is the change of the smoothed angle, once the buffer is full.
      * ``threshold``: theta, degrees.
      * ``num_drops``: drops so far, those at the floor of the rate too.
      * ``step_norm``: l2 norm of the last step, of an epoch or from one window's mean
        to the next; infinite if not finite.

      Of epochs alone:

      * ``delay_count``: k, epochs into the delay; 0 outside of it.
      * ``epoch``: epochs finished.
      * ``epochs_since_drop``: epochs since the last drop, or since the start.
      * ``averaged``: true right after an epoch end that moved the parameters: the
        moment to recompute BatchNorm statistics or to reset a moving average.

      Of windows alone:

      * ``window``: windows finished.
      * ``windows_since_drop``: windows since the last drop, or since the start.

    Raises:
      ValueError: ``opt_state`` has no state of AutoDrop, or one that a checkpoint
        restored without a target has made a plain dictionary.
    """
    found = find_states(opt_state)
    prefixes = [f"{name}/" for name in _names([path for path, _ in found])]
    if len(found) == 1:
        prefixes = [""]
    return Metrics(
        (prefix + key, value)
        for prefix, (_, state) in zip(prefixes, found, strict=True)
        for key, value in state.metrics().items()
    )


def _names(paths: Sequence[Any]) -> list[str]:
    """Names that tell the paths apart, of labels alone if these do."""
    for kinds in (DictKey,), (DictKey, SequenceKey):
        kept = [[key for key in path if isinstance(key, kinds)] for path in paths]
        names = [_keystr(keys) for keys in kept]
        if all(names) and len(set(names)) == len(names):
            return names
    return [_keystr(path) for path in paths]


def _keystr(path: Sequence[Any]) -> str:
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")
