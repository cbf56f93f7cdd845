"""Three ways to drive Algorithm 1, and what there is to log."""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from autodrop_optax._algorithm import (
    AutoDropState,
    adopt_settings,
    angular_velocity_change,
    finish_epoch,
    init_state,
)
from autodrop_optax._once import once
from autodrop_optax._settings import Anchor, Retrigger, Settings, check_count
from autodrop_optax._trees import (
    check_match,
    coverage,
    inexact_leaves,
    is_inexact,
    merge_covered,
    replace_inexact,
    select_covered,
    step_between,
)


def autodrop(
    learning_rate: chex.Numeric,
    *,
    drop_factor: chex.Numeric = 0.2,
    min_learning_rate: chex.Numeric = 1e-4,
    threshold: chex.Numeric = 0.01,
    max_threshold: chex.Numeric = 1.0,
    drop_delay: chex.Numeric = 20,
    averaging: bool = True,
    window: int = 1,
    retrigger: Retrigger = "ignore",
    anchor: Anchor = "after_averaging",
    steps_per_epoch: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Drops the learning rate where the angular velocity of the parameters saturates.

    A link for :func:`optax.chain` that multiplies updates by ``alpha / alpha_0``. The
    angular velocity is the angle between the steps of consecutive epochs (equations 1
    and 2). It rises while the optimizer makes headway at the present rate; once it has
    stopped changing the rate is multiplied by ``drop_factor`` (Algorithm 1).

    Call :func:`end_epoch` once per epoch. In between the link only scales, so it is
    exact in every position:

    * behind the optimizer, ``chain(sgd(0.1, momentum=0.9), autodrop(0.1))``, it does
      what setting the optimizer's learning rate by hand does. Right for every
      optimizer, and the only right place for Adam and its relatives, which cancel any
      scaling of their gradients;
    * in front of momentum SGD, ``chain(autodrop(0.1), sgd(0.1, momentum=0.9))``, the
      gradient is scaled before the momentum sums it: the heavy-ball method of the
      paper's analysis (equation 7, s = 0).

    Do not scale an optimizer whose updates are jumps to a point (``optax.lookahead``,
    ``schedule_free`` and ``sam`` of ``optax.contrib``): put
    ``with_autodrop(base, ..., averaging=False)`` inside, around its base optimizer.

    With ``steps_per_epoch`` the link counts for itself: it measures at the first step
    of the next epoch and needs ``params`` in ``update``. A link cannot move
    parameters, so this goes without averaging.

    Args:
      learning_rate: the rate that the rest of the chain uses, a number [alpha_0]. A
        schedule stays in the chain and goes on working: AutoDrop only scales.
      drop_factor: what a drop multiplies the rate by, between 0 and 1 [rho].
      min_learning_rate: drops take the rate no lower [alpha_min].
      threshold: degrees per epoch. Changes of the angular velocity below it are
        saturation [theta_0]. 0 never drops.
      max_threshold: degrees per epoch. A drop divides the threshold by
        ``drop_factor``, up to this [theta_max].
      drop_delay: epochs from the trigger to the drop, the first one counted [n_d].
      averaging: at a drop, put the average of the parameters over the delay, weighted
        1, 2, ..., n_d, in their place.
      window: epochs. The change is that of the mean of the last ``window`` angles from
        one epoch to the next. 1 is Algorithm 1. An epoch without an angle blocks
        decisions until it has left the window.
      retrigger: what saturation during the delay does. ``"ignore"``: nothing.
        ``"restart"``: delay and average start again, as the pseudo-code says when read
        to the letter; with a threshold above the noise of the angles and a delay of
        two epochs or more, no drop ever comes.
      anchor: from where the step after an averaging is measured, the parameters
        averaged (``"after_averaging"``) or not (``"before_averaging"``).
      steps_per_epoch: calls of ``update`` per epoch, for a link that counts.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with an
      :class:`AutoDropState`. ``update`` puts the constructor's numbers into the state,
      so :func:`optax.inject_hyperparams` works (name ``window``, ``averaging``,
      ``retrigger``, ``anchor`` and ``steps_per_epoch`` in its ``static_args``), and so
      does ``jax.vmap`` over them. A ``threshold`` other than the one in the state
      replaces the present one.

    Raises:
      ValueError: a hyperparameter is out of its range, ``learning_rate`` is a
        schedule, or a link that counts is asked to average. In ``init``: no leaf is of
        floating point or complex dtype. In ``update``: the state was made with another
        ``window``, ``averaging`` or way of counting; ``params`` are needed and missing,
        or not those of ``init``.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax import autodrop, autodrop_metrics, end_epoch
      >>> link = autodrop(0.1, threshold=1.0, drop_delay=2)
      >>> optimizer = optax.chain(optax.sgd(0.1), link)
      >>> params = jnp.array([1.0, -2.0])
      >>> state = optimizer.init(params)
      >>> for epoch in range(20):
      ...     for step in range(5):
      ...         gradients = params * jnp.array([1.0, 0.1])
      ...         updates, state = optimizer.update(gradients, state)
      ...         params = optax.apply_updates(params, updates)
      ...     params, state = end_epoch(params, state)
      >>> bool(autodrop_metrics(state)["num_drops"] > 0)
      True

    References:
      Teng, Wang, Choromanska, `AutoDrop: Training Deep Learning Models with Automatic
      Learning Rate Drop <https://arxiv.org/abs/2111.15317>`_, 2021, Algorithm 1.
    """
    settings = Settings(
        learning_rate=learning_rate,
        drop_factor=drop_factor,
        min_learning_rate=min_learning_rate,
        threshold=threshold,
        max_threshold=max_threshold,
        drop_delay=drop_delay,
        averaging=averaging,
        window=window,
        retrigger=retrigger,
        anchor=anchor,
    )
    if steps_per_epoch is not None:
        check_count("steps_per_epoch", steps_per_epoch)
        if averaging:
            raise ValueError(
                "averaging=True with steps_per_epoch: a link cannot move the"
                " parameters. Pass averaging=False; or leave steps_per_epoch out and"
                " call end_epoch(params, opt_state) once per epoch; or use"
                " with_autodrop(optimizer, learning_rate, steps_per_epoch)."
            )

    def init_fn(params) -> Any:
        return init_state(settings, params, counting=steps_per_epoch is not None)

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del extra_args
        counting = steps_per_epoch is not None
        state = adopt_settings(settings, state, counting=counting)
        if steps_per_epoch is not None:
            params = _require(params, "autodrop(..., steps_per_epoch=...)")
            # The step before this one may have ended an epoch with these parameters.
            over = _steps(state) >= steps_per_epoch
            state = _finish_epoch_if(over, state, params)
            state = state._replace(step=_steps(state) + 1)
        return _scale(updates, state.rate_scale), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def with_autodrop(
    optimizer: optax.GradientTransformation,
    learning_rate: chex.Numeric,
    steps_per_epoch: int,
    *,
    drop_factor: chex.Numeric = 0.2,
    min_learning_rate: chex.Numeric = 1e-4,
    threshold: chex.Numeric = 0.01,
    max_threshold: chex.Numeric = 1.0,
    drop_delay: chex.Numeric = 20,
    averaging: bool = True,
    window: int = 1,
    retrigger: Retrigger = "ignore",
    anchor: Anchor = "after_averaging",
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that AutoDrop runs with nothing else to call.

    It does what :func:`autodrop` does behind ``optimizer`` with an :func:`end_epoch`
    after every ``steps_per_epoch`` updates. Where parameters are averaged, the update
    is the jump to their average; so this must be the outermost transformation.

    Do not wrap an optimizer whose updates are jumps to a point (``optax.lookahead``,
    ``schedule_free`` and ``sam`` of ``optax.contrib``): scaling a jump misses its
    point. Wrap their base optimizer, with ``averaging=False``.

    Args:
      optimizer: the optimizer, with its learning rate and any schedule.
      learning_rate: the rate that ``optimizer`` uses, a number [alpha_0].
      steps_per_epoch: calls of ``update`` per epoch. Around ``optax.MultiSteps`` these
        are micro-batches, inside of it optimizer steps; steps that an
        ``optax.apply_if_finite`` around this rejects do not count.
      drop_factor: see :func:`autodrop`, as for all below.
      min_learning_rate: as there.
      threshold: as there, degrees per epoch.
      max_threshold: as there, degrees per epoch.
      drop_delay: as there, epochs.
      averaging: as there.
      window: as there, epochs.
      retrigger: as there.
      anchor: as there.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs`. Its state is the pair of the
      optimizer's state and an :class:`AutoDropState`; ``update`` needs ``params``.

    Raises:
      ValueError: as :func:`autodrop`; or ``optimizer`` is no transformation, or one
        that jumps (found in ``init``).

    Example:
      >>> import optax
      >>> from autodrop_optax import with_autodrop
      >>> optimizer = with_autodrop(
      ...     optax.adamw(1e-3), learning_rate=1e-3, steps_per_epoch=391
      ... )
    """
    settings = Settings(
        learning_rate=learning_rate,
        drop_factor=drop_factor,
        min_learning_rate=min_learning_rate,
        threshold=threshold,
        max_threshold=max_threshold,
        drop_delay=drop_delay,
        averaging=averaging,
        window=window,
        retrigger=retrigger,
        anchor=anchor,
    )
    check_count("steps_per_epoch", steps_per_epoch)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            "optimizer must be an optax.GradientTransformation, as optax.sgd(0.1) is,"
            f" got {optimizer!r}."
        )
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params) -> Any:
        inner_state = optimizer.init(params)
        _check_wrappable(params, inner_state)
        return inner_state, init_state(settings, params, counting=True)

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        params = _require(params, "with_autodrop")
        inner_state, state = state
        updates, inner_state = optimizer.update(
            updates, inner_state, params, **extra_args
        )
        state = adopt_settings(settings, state, counting=True)
        updates = _scale(updates, state.rate_scale)
        steps = _steps(state) + 1
        state, updates = _finish_epoch_after_if(
            steps >= steps_per_epoch, state._replace(step=steps), params, updates
        )
        return updates, (inner_state, state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def end_epoch(
    params: optax.Params, opt_state: optax.OptState
) -> tuple[optax.Params, optax.OptState]:
    """Ends an epoch: measures the angle, decides, averages where that is due.

    For :func:`autodrop` without ``steps_per_epoch``. It acts on every such state in
    ``opt_state`` (one for each group under ``optax.partition``), each on the
    parameters it covers, and runs under ``jax.jit`` and ``lax.scan``;
    ``jax.jit(end_epoch, donate_argnums=(0, 1))`` works in place.

    Args:
      params: the parameters at the end of the epoch.
      opt_state: the state of an optimizer that contains :func:`autodrop`.

    Returns:
      The parameters, which are their average after a drop with averaging and else
      unchanged, and the new state.

    Raises:
      ValueError: ``opt_state`` has no state of AutoDrop, one that counts for itself,
        two that cover the same parameters, or one made for other parameters.
      TypeError: ``params`` are ``optax.LookaheadParams``.
    """
    if isinstance(params, optax.LookaheadParams):
        raise TypeError(
            "end_epoch got optax.LookaheadParams, whose slow and fast parameters move"
            " by different rules. Put with_autodrop(..., averaging=False) inside of"
            " optax.lookahead, as its fast optimizer."
        )
    _check_disjoint([state for _, state in _find_states(opt_state)], params)

    def end(node: Any) -> Any:
        nonlocal params
        if not _is_state(node):
            return node
        state, covered = _finish_epoch_jit(node, select_covered(node.anchor, params))
        params = merge_covered(covered, params)
        return state

    opt_state = jax.tree.map(end, opt_state, is_leaf=_is_state)
    return params, opt_state


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
      ValueError: ``opt_state`` has no state of AutoDrop, or one that a checkpoint
        restored without a target has made a plain dictionary.
    """
    found = _find_states(opt_state)
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


_finish_epoch_jit = jax.jit(finish_epoch)


@jax.jit  # for those who do not jit: a loop outside of jit is compiled at every call
def _finish_epoch_if(
    condition: jax.Array, state: AutoDropState, params: optax.Params
) -> AutoDropState:
    """For a link: ends the epoch in the state; the parameters are only read."""
    check_match(params, state.anchor, "params", "those given to init", dtypes=True)
    params = jax.lax.stop_gradient(params)
    return once(condition, lambda state: finish_epoch(state, params)[0], state)


@jax.jit
def _finish_epoch_after_if(
    condition: jax.Array,
    state: AutoDropState,
    params: optax.Params,
    updates: optax.Updates,
) -> tuple[AutoDropState, optax.Updates]:
    """For the wrapper: ends the epoch that ``updates`` complete, averaging in them."""
    check_match(params, state.anchor, "params", "those given to init", dtypes=True)
    check_match(updates, params, "updates", "params", dtypes=False)

    def finish(operand):
        state, updates = operand
        x = inexact_leaves(params)
        u = inexact_leaves(updates)
        after = replace_inexact(params, _add(x, u))
        state, after = finish_epoch(state, after)

        def jump(u):
            triples = zip(inexact_leaves(after), x, u, strict=True)
            return [step_between(a, b).astype(v.dtype) for a, b, v in triples]

        u = once(state.averaged, jump, u)
        # The user adds the update, which rounds: measure from where that ends.
        rebase = state.averaged & ~state.hyperparams.anchor_before_averaging
        y = inexact_leaves(state.anchor)
        y = once(rebase, lambda _: _add(x, u), y)
        state = state._replace(anchor=replace_inexact(state.anchor, y))
        return state, replace_inexact(updates, u)

    state, updates = once(condition, finish, (state, updates))
    # Never so, but XLA cannot know: the updates have to wait for the loop. Else it
    # would add them to the parameters ahead of it, and keep a copy of those for it.
    early = _steps(state) < 0
    u = [jnp.where(early, jnp.zeros_like(v), v) for v in inexact_leaves(updates)]
    return state, replace_inexact(updates, u)


def _scale(updates: optax.Updates, scale: jax.Array) -> optax.Updates:
    def scaled(u):
        # Before the first drop leave u alone: even a product with one may be
        # contracted with a neighbouring sum, which then rounds differently.
        return jnp.where(scale == 1, u, u * scale.astype(u.dtype))

    return jax.tree.map(lambda u: scaled(u) if is_inexact(u) else u, updates)


def _add(x: list[jax.Array], u: list[jax.Array]) -> list[jax.Array]:
    """The parameters that the user gets, rounded as optax rounds them."""
    return jax.tree.leaves(optax.apply_updates(x, u))


def _require(params: optax.Params | None, name: str) -> optax.Params:
    if params is None:
        raise ValueError(
            f"{name} measures the parameters, but update got params=None. Call"
            " update(updates, state, params)."
        )
    return params


def _steps(state: AutoDropState) -> jax.Array:
    assert state.step is not None  # adopt_settings has seen to it
    return state.step


def _is_state(node: Any) -> bool:
    return isinstance(node, AutoDropState)


def _is_plain_state(node: Any) -> bool:
    return isinstance(node, Mapping) and set(AutoDropState._fields) <= set(node)


def _find_states(opt_state: optax.OptState) -> list[tuple[Any, AutoDropState]]:
    leaves = jax.tree.leaves_with_path(opt_state, is_leaf=_is_state)
    found = [(path, node) for path, node in leaves if _is_state(node)]
    if not found:
        leaves = jax.tree.leaves(opt_state, is_leaf=_is_plain_state)
        if any(map(_is_plain_state, leaves)):
            raise ValueError(
                "opt_state holds a state of AutoDrop as a plain dictionary, as a"
                " checkpoint is read without a target. Restore it with one: with Orbax,"
                " checkpointer.restore(path, target), where target has the structure of"
                " optimizer.init(params)."
            )
        raise ValueError(
            "opt_state holds no state of AutoDrop. It must come from an optimizer built"
            " with autodrop(...) or with_autodrop(...); got"
            f" {jax.tree.structure(opt_state)}."
        )
    return found


def _check_wrappable(params: optax.Params, inner_state: optax.OptState) -> None:
    jumpers = (
        AutoDropState,
        optax.LookaheadState,
        optax.contrib.SAMState,
        optax.contrib.ScheduleFreeState,
    )
    nodes = jax.tree.leaves(inner_state, is_leaf=lambda x: isinstance(x, jumpers))
    for node in (params, *nodes):
        if isinstance(node, (optax.LookaheadParams, *jumpers)):
            raise ValueError(
                f"with_autodrop around an optimizer with a {type(node).__name__}, whose"
                " updates are jumps to a point: scaled, they would miss it. Put"
                " with_autodrop(base, ..., averaging=False) inside, around the base"
                " optimizer."
            )


def _check_disjoint(states: list[AutoDropState], params: optax.Params) -> None:
    for state in states:
        if state.step is not None:
            raise ValueError(
                "end_epoch on a state that counts its epochs itself would end each of"
                " them twice. Leave end_epoch out, or build the optimizer with"
                " autodrop(...) without steps_per_epoch."
            )
        select_covered(state.anchor, params)
    covered = [coverage(state.anchor, params) for state in states]
    paths = [path for path, _ in jax.tree.leaves_with_path(params)]
    for path, flags in zip(paths, zip(*covered, strict=True), strict=True):
        if sum(flags) > 1:
            raise ValueError(
                f"{sum(flags)} states of AutoDrop cover the parameters at"
                f" {jax.tree_util.keystr(path) or 'the root'}: each would drop the rate"
                " and average on its own. Keep one autodrop(...) per parameter."
            )
