"""The scalars to log, by name."""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import optax
from jax.tree_util import DictKey, SequenceKey

from autodrop_optax._states import find_states, is_state


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
      opt_state: the state of an optimizer with a link of AutoDrop, or of
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

      Of the published methods:

      * ``learning_rate``: alpha, without the schedules that the chain may hold. At the
        floor it equals ``min_learning_rate`` in float32.
      * ``angular_velocity``: degrees, of the last epoch or window.
      * ``angular_velocity_change``: what is compared with the threshold, degrees. Of
        windows it is the change of the smoothed angle, once the buffer is full.
      * ``threshold``: theta, degrees.
      * ``num_drops``: drops so far, those at the floor of the rate too.
      * ``step_norm``: l2 norm of the last step, of an epoch or from one window's mean
        to the next; infinite if not finite.
      * ``epoch``, ``window``: those finished; ``epoch`` stays 0 where nobody calls
        :func:`end_epoch`.
      * ``epochs_since_drop``, ``windows_since_drop``: or since the start.
      * ``delay_count``: k, epochs into the delay; 0 outside of it.
      * ``averaged``: true right after an epoch end that moved the parameters: the
        moment to recompute BatchNorm statistics or to reset a moving average.

    Raises:
      ValueError: ``opt_state`` has no state of AutoDrop, or one that a checkpoint
        restored without a target has made a plain dictionary.

    Warns:
      UserWarning: AutoDrop is a link in front of Adam or a relative in the same chain,
        which cancels whatever scales its gradients.
    """
    found = find_states(opt_state)
    for name in sorted(_cancelling_behind(opt_state)):
        warnings.warn(
            "AutoDrop is in front of an optimizer that cancels any scaling of its"
            f" gradients ({name}): its drops change nothing. Put it last:"
            " optax.chain(optax.adamw(1e-3), autodrop()).",
            stacklevel=2,
        )
    prefixes = [f"{name}/" for name in _names([path for path, _ in found])]
    if len(found) == 1:
        prefixes = [""]
    return Metrics(
        (prefix + key, value)
        for prefix, (_, state) in zip(prefixes, found, strict=True)
        for key, value in state.metrics().items()
    )


# Of optax's optimizers that divide by a norm of the gradients so far, or take signs.
_CANCELLING = {
    "ScaleByAdamState", "ScaleByAdanState", "ScaleByAmsgradState", "ScaleByBeliefState",
    "ScaleByLionState", "ScaleByNovogradState", "ScaleByRStdDevState",
    "ScaleByRmsState", "FactoredState",
}  # fmt: skip


def _cancelling_behind(opt_state: Any) -> set[str]:
    """The optimizers that cancel the scale of an AutoDrop in front of them.

    A chain's state is a plain tuple. AutoDrop must be a link of it itself: a tuple of
    the states of two networks' optimizers is no chain.
    """
    names = set()
    for chain in filter(_is_chain, jax.tree.leaves(opt_state, is_leaf=_is_chain)):
        for i, link in enumerate(chain):
            if is_state(link):  # the links behind it, with those of chains among them
                behind = jax.tree.leaves(chain[i:], is_leaf=lambda x: not _is_chain(x))
                names |= {type(state).__name__ for state in behind}
            else:
                names |= _cancelling_behind(link)
    return names & _CANCELLING


def _is_chain(node: Any) -> bool:
    return type(node) is tuple


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
