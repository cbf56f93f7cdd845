"""AutoDrop that needs nothing: no threshold, no epoch, no length of the run.

Steps are n = 1, 2, ... since the last drop and N = 1, 2, ... since the start; angles
are in degrees. With x the parameters that ``update`` is given:

    a = a + 1                                         the age of the average
    m = m + (p + 1) / (a + p) (x - m)                 weights (age)^p; m = x at a = 1
    at n_k = ceil(n_0 q^k), k = 0, 1, ...:            a check
        s_k = m - y;  w_k = angle(s_k, s_{k-1});  y = m       w from the third check on
        if w_k >= w_max, as at the check before, and N >= 2 (N at the last drop):
            scale = max(min_scale, rho scale)
            a = a / 8;  n = 0;  forget y and s

While the optimizer makes headway at its rate, the average of the parameters goes on in
one direction. Once it makes none, the average's way is a random walk's at best, whose
angle w_max is known: :func:`random_walk_angle`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._anchor import move_anchor
from autodrop_optax._checks import check_arguments, explain_arguments
from autodrop_optax._link import adopt, initialiser, observe, require_params, scalars
from autodrop_optax._once import once
from autodrop_optax._placement import MemoryKind, store, stored
from autodrop_optax._scale import count_if, drop_scale, scale_updates
from autodrop_optax._trees import map_inexact, new_tree, wide_dtype, wide_zeros

# Angles kept in the state. Checks are geometric: a phase of 10^6 steps has 44.
HISTORY = 256

# From this many steps of a phase on, samples of the average are spaced so that the
# phase has one to two times as many. Half of the weight lies on the last thirteenth.
_SAMPLES = 1024

# What a drop divides the average's age by: it then forgets the noisier phase before it
# soon, but has no moment at which it is the average of a few steps.
_AGE_DIVISOR = 8.0

_TREES = "average", "anchor", "previous_step"


class AutoDropHyperparams(NamedTuple):
    """The constructor's arguments as arrays, with the letters of the rule."""

    drop_factor: jax.Array  # shape (), float32 [rho]
    min_scale: jax.Array  # shape (), float32
    max_angle: jax.Array  # shape (), float32, degrees [w_max]
    power: jax.Array  # shape (), float32 [p]
    ratio: jax.Array  # shape (), float32 [q]
    patience: jax.Array  # shape (), int32, checks
    first_check: jax.Array  # shape (), int32, steps [n_0]


class AutoDropState(NamedTuple):
    """State of AutoDrop. Its structure, shapes and dtypes never change.

    The three trees have the parameters' structure and shapes; leaves that are not
    floating point or complex are only kept to fill their place. Nothing in it is NaN.
    """

    steps: jax.Array  # shape (), int32: updates since the start [N]
    steps_since_drop: jax.Array  # shape (), int32: updates in this phase [n]
    steps_since_sample: jax.Array  # shape (), int32
    last_drop_step: jax.Array  # shape (), int32: 0 before the first
    num_drops: jax.Array  # shape (), int32
    rate_scale: jax.Array  # shape (), float32: what updates are multiplied by
    age: jax.Array  # shape (), float32, steps: of the average [a]
    check_time: jax.Array  # shape (), float32, steps into the phase [n_0 q^k]
    num_checks: jax.Array  # shape (), int32: in this phase
    num_above: jax.Array  # shape (), int32: the latest checks in a row with w >= w_max
    # The latest angles, the newest last; where there is none yet all three are 0.
    angle_steps: jax.Array  # shape (256,), int32 [N]
    angles: jax.Array  # shape (256,), float32, degrees [w]
    angle_scales: jax.Array  # shape (256,), float32: after the check
    average: optax.Params  # dtypes of the parameters, float32 at least [m]
    anchor: optax.Params  # the same [y]
    previous_step: optax.Params  # the same, or state_dtype [s]
    hyperparams: AutoDropHyperparams

    @property
    def covered(self) -> optax.Params:
        """A tree with the parameters that this state is about."""
        return self.average

    def metrics(self) -> dict[str, jax.Array]:
        """What there is to log: see :func:`autodrop_metrics`."""
        next_check = jnp.ceil(jnp.minimum(self.check_time, 2.0**31 - 128))
        return {
            "scale": self.rate_scale,
            "num_drops": self.num_drops,
            "angle": self.angles[..., -1],
            "max_angle": self.hyperparams.max_angle,
            "steps_since_drop": self.steps_since_drop,
            "next_check": next_check.astype(jnp.int32),
            "at_floor": jnp.less_equal(self.rate_scale, self.hyperparams.min_scale),
        }


@explain_arguments(
    "autodrop() takes options by name, and no learning rate: it scales what the"
    " optimizer does. Put it last: optax.chain(optax.adamw(1e-3), autodrop()). The"
    " published method, which is told a rate and a threshold, is epoch_autodrop(0.1)."
)
def autodrop(
    *,
    drop_factor: jax.typing.ArrayLike = 0.5,
    min_scale: jax.typing.ArrayLike = 0.0,
    max_angle: jax.typing.ArrayLike | None = None,
    patience: jax.typing.ArrayLike = 2,
    power: jax.typing.ArrayLike = 8.0,
    ratio: jax.typing.ArrayLike = 1.25,
    first_check: jax.typing.ArrayLike = 64,
    state_dtype: jax.typing.DTypeLike | None = None,
    state_memory_kind: MemoryKind = "device",
) -> optax.GradientTransformationExtraArgs:
    """Drops the learning rate when the parameters stop making headway.

    A link for :func:`optax.chain`, last: ``optax.chain(optax.adamw(1e-3),
    autodrop())``. It needs no learning rate, no number of steps and no threshold. It
    keeps a running average of the parameters, which is what to evaluate, whenever one
    stops (:func:`autodrop_eval_params`), and watches which way that average goes. Where
    the angle between its displacements, measured over times that grow with the phase,
    reaches that of a random walk, the updates are halved from then on. The parameters
    are never moved.

    Behind the optimizer it does what a lower learning rate does. In front of SGD with
    momentum it scales the gradients, which comes to nearly the same; in front of Adam
    and its relatives, which cancel any scaling, it would do nothing. Warm-ups and
    decays in the chain go on working. A run that has a checkpoint without it goes on
    with ``(old_opt_state, autodrop().init(params))`` for its state.

    Args:
      drop_factor: what a drop multiplies the updates by, between 0 and 1 [rho].
      min_scale: drops take the scale no lower. At this floor there are no more drops.
      max_angle: degrees. At or above it there is no headway. None: the angle of a
        random walk, 71.81 for the default ``power`` and ``ratio``. 180 never drops.
      patience: checks in a row at or above ``max_angle`` that make a drop.
      power: of its age, that a parameter value weighs in the average [p]. The average
        lies about ``1 / (power + 2)`` of the phase behind.
      ratio: of the times of one check and the one before, at least 1.1 [q].
      first_check: steps from a drop, or the start, to the first check [n_0].
      state_dtype: what ``init`` makes the previous step in, as ``jnp.bfloat16``; by
        default the parameters' dtypes, float32 at least, as average and anchor always
        are: of a rounded anchor small steps would be lost. Complex leaves are left
        alone.
      state_memory_kind: where ``init`` puts anchor and previous step, ``"device"`` or
        ``"pinned_host"``, the host's memory: only checks need them. On CPUs JAX before
        0.10.2 leaves them in the device's memory.

    Returns:
      An :class:`optax.GradientTransformationExtraArgs` with an :class:`AutoDropState`.
      ``update`` needs ``params``. It puts the constructor's numbers into the state, so
      :func:`optax.inject_hyperparams` works (name ``state_dtype`` and
      ``state_memory_kind`` in its ``static_args``), and so does ``jax.vmap`` over them.

    Raises:
      ValueError: an argument is out of its range. In ``init``: no leaf is of floating
        point or complex dtype, or the parameters are ``optax.LookaheadParams``. In
        ``update``: ``params`` are missing, or not those of ``init``.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from autodrop_optax import autodrop, autodrop_eval_params, autodrop_metrics
      >>> optimizer = optax.chain(optax.sgd(0.5), autodrop())
      >>> params = jnp.full(50, 3.0)
      >>> state = optimizer.init(params)
      >>> def step(carry, key):
      ...     params, state = carry
      ...     gradients = params + jax.random.normal(key, params.shape)
      ...     updates, state = optimizer.update(gradients, state, params)
      ...     return (optax.apply_updates(params, updates), state), None
      >>> keys = jax.random.split(jax.random.key(0), 1000)
      >>> (params, state), _ = jax.lax.scan(step, (params, state), keys)
      >>> bool(autodrop_metrics(state)["num_drops"] > 0)
      True
      >>> average = autodrop_eval_params(state, params)
      >>> bool(jnp.linalg.norm(average) < jnp.linalg.norm(params))
      True

    References:
      After Teng, Wang, Choromanska, `AutoDrop: Training Deep Learning Models with
      Automatic Learning Rate Drop <https://arxiv.org/abs/2111.15317>`_, 2021, who
      measure the angle of the parameters' own steps (:func:`epoch_autodrop`). Averages
      weighted by a power of age: Shamir and Zhang, `Stochastic Gradient Descent for
      Non-smooth Optimization <https://arxiv.org/abs/1212.1824>`_, 2013.
    """
    check_arguments(**locals())  # there are no other names yet

    def hyperparams() -> AutoDropHyperparams:
        angle = random_walk_angle(power, ratio) if max_angle is None else max_angle
        return AutoDropHyperparams(
            *scalars(jnp.float32, drop_factor, min_scale, angle, power, ratio),
            *scalars(jnp.int32, patience, first_check),
        )

    @initialiser(*_TREES)
    def init_fn(params) -> AutoDropState:
        hyper = hyperparams()
        # At the parameters: the first displacement would else be as large as they are.
        anchor, step = new_tree(_finite, params), new_tree(wide_zeros, params)
        return AutoDropState(
            steps=jnp.zeros((), jnp.int32),
            steps_since_drop=jnp.zeros((), jnp.int32),
            steps_since_sample=jnp.zeros((), jnp.int32),
            last_drop_step=jnp.zeros((), jnp.int32),
            num_drops=jnp.zeros((), jnp.int32),
            rate_scale=jnp.ones((), jnp.float32),
            age=jnp.zeros((), jnp.float32),
            check_time=hyper.first_check.astype(jnp.float32),
            num_checks=jnp.zeros((), jnp.int32),
            num_above=jnp.zeros((), jnp.int32),
            angle_steps=jnp.zeros((HISTORY,), jnp.int32),
            angles=jnp.zeros((HISTORY,), jnp.float32),
            angle_scales=jnp.zeros((HISTORY,), jnp.float32),
            average=new_tree(_finite, params),
            anchor=stored(anchor, None, state_memory_kind),
            previous_step=stored(step, state_dtype, state_memory_kind),
            hyperparams=hyper,
        )

    def update_fn(updates, state, params=None, **extra_args) -> Any:
        del extra_args
        state = adopt(state, AutoDropState, "autodrop", hyperparams())
        state = observe(_step, state, require_params(params, "autodrop"))
        return scale_updates(updates, state.rate_scale), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def random_walk_angle(
    power: jax.typing.ArrayLike, ratio: jax.typing.ArrayLike
) -> jax.Array:
    """Returns the angle that the average of a random walk shows from check to check.

    For Brownian motion, with n = power + 1 and r = S / T for S <= T, the average m has
    E m_S m_T = S (1 - 1/(n+1) - r^n/(n+1) + r^n/(2n+1)). With u = 1 / ratio this makes
    the angle between its displacements, from time u^2 to u and from u to 1,

        cos w = sqrt(u) (1 - u^n) (1 - u^(n+1)) / (2 n (1 - u) - 2 u (1 - u^n)),

    in degrees, a float32 scalar.
    """
    # Whatever they came in: in bfloat16 it would be degrees off.
    power, ratio = scalars(jnp.float32, power, ratio)
    n, u = power + 1, 1 / ratio
    rest = 1 - u**n
    cosine = jnp.sqrt(u) * rest * (1 - u ** (n + 1)) / (2 * (n * (1 - u) - u * rest))
    return jnp.degrees(jnp.arccos(cosine))


def _step(state: AutoDropState, params: optax.Params) -> AutoDropState:
    """Samples the parameters and checks the angle, where it is time."""
    n = jnp.asarray(optax.safe_increment(state.steps_since_drop))
    state = state._replace(
        steps=optax.safe_increment(state.steps),
        steps_since_drop=n,
        steps_since_sample=optax.safe_increment(state.steps_since_sample),
    )
    # A counter that has come to its end is below the time of the next check.
    checking = n.astype(jnp.float32) >= state.check_time
    # The largest power of two with _SAMPLES of its multiples up to n.
    stride = jnp.left_shift(1, 31 - jax.lax.clz(jnp.maximum(n // _SAMPLES, 1)))
    sampling = (n % stride == 0) | checking
    state = once(sampling, lambda state: _add_sample(state, params), state)
    return once(checking, _check, state)


def _add_sample(state: AutoDropState, params: optax.Params) -> AutoDropState:
    """Takes the parameters into the average, for all steps since the last sample."""
    # The formula of the rule in units of h steps.
    h, p = state.steps_since_sample.astype(jnp.float32), state.hyperparams.power
    age = state.age + h
    weight = (p + 1) * h / (age + p * h)

    def add(mean: jax.Array, x: jax.Array) -> jax.Array:
        later = mean + (x.astype(mean.dtype) - mean) * weight.astype(mean.dtype)
        return jnp.where(jnp.isfinite(later), later, mean)

    return state._replace(
        steps_since_sample=jnp.zeros_like(state.steps_since_sample),
        age=age,
        average=map_inexact(add, state.average, params),
    )


def _check(state: AutoDropState) -> AutoDropState:
    """Measures the angle, decides, drops.

    A displacement of zero has no angle: no information, no decision.
    """
    hyper = state.hyperparams
    turn, m, y, s = move_anchor(state.average, state.anchor, state.previous_step)

    num_checks = jnp.asarray(optax.safe_increment(state.num_checks))
    informed = (num_checks > 2) & jnp.isfinite(turn.angle)
    angle = jnp.where(informed, turn.angle, 0.0)
    above = informed & (angle >= hyper.max_angle) & (hyper.max_angle < 180)
    num_above = jnp.where(above, optax.safe_increment(state.num_above), 0)
    # No faster than one over the number of steps: it bounds what a false alarm costs.
    late = state.steps - state.last_drop_step >= state.last_drop_step
    drop = (num_above >= hyper.patience) & late & (state.rate_scale > hyper.min_scale)
    lower = drop_scale(state.rate_scale, hyper.drop_factor, hyper.min_scale)
    scale = jnp.where(drop, lower, state.rate_scale)

    def record(history: jax.Array, value: jax.Array) -> jax.Array:
        return jnp.where(informed, jnp.append(history[1:], value), history)

    state = state._replace(
        check_time=hyper.ratio * state.check_time,
        num_checks=num_checks,
        num_above=num_above,
        angle_steps=record(state.angle_steps, state.steps),
        angles=record(state.angles, angle),
        angle_scales=record(state.angle_scales, scale),
        average=m,
        anchor=store(y, state.anchor),
        previous_step=store(s, state.previous_step),
    )
    return once(drop, lambda state: begin_phase(state, scale), state)


def begin_phase(state: AutoDropState, scale: jax.Array) -> AutoDropState:
    """Returns the state right after a drop to ``scale``."""
    return state._replace(
        steps_since_drop=jnp.zeros_like(state.steps_since_drop),
        steps_since_sample=jnp.zeros_like(state.steps_since_sample),
        last_drop_step=jnp.copy(state.steps),  # else it could not be donated
        num_drops=count_if(scale < state.rate_scale, state.num_drops),
        rate_scale=scale,
        age=state.age / _AGE_DIVISOR,
        check_time=state.hyperparams.first_check.astype(jnp.float32),
        num_checks=jnp.zeros_like(state.num_checks),
        num_above=jnp.zeros_like(state.num_above),
    )


def start_over(state: AutoDropState, params: optax.Params) -> AutoDropState:
    """Returns the state as ``init`` would make it at ``params``, which it covers."""
    kept = {name: getattr(state, name) for name in (*_TREES, "hyperparams")}
    blank = jax.tree.map(jnp.zeros_like, state._replace(**dict.fromkeys(kept)))
    state = begin_phase(blank._replace(**kept), jnp.ones_like(state.rate_scale))
    average = map_inexact(
        lambda mean, x: _finite(x).astype(mean.dtype), state.average, params
    )
    return state._replace(average=average)


def _finite(x: jax.Array) -> jax.Array:
    """``x`` in 32 bits or more, 0 where it is not finite, never weakly typed."""
    return jnp.where(jnp.isfinite(x), x, 0).astype(wide_dtype(x.dtype))
