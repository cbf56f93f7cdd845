"""The user's hand: a new phase of AutoDrop, at a scale of the user's."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._autodrop import AutoDropState, begin_phase, start_over
from autodrop_optax._checks import check_arguments
from autodrop_optax._link import scalars
from autodrop_optax._params import select_covered
from autodrop_optax._states import find_states, is_state


def autodrop_restart(
    opt_state: optax.OptState,
    params: optax.Params | None = None,
    *,
    scale: jax.typing.ArrayLike | None = None,
    factor: jax.typing.ArrayLike | None = None,
) -> optax.OptState:
    """Begins a new phase of :func:`autodrop` by hand; the optimizer's state stays.

    ======================================  ===========================================
    drop now                                ``autodrop_restart(opt_state, factor=0.5)``
    set the scale                           ``autodrop_restart(opt_state, scale=0.1)``
    start over, as the data have changed    ``autodrop_restart(opt_state, params)``
    ======================================  ===========================================

    A phase begins as after a drop: the average ages to an eighth, the next check comes
    after ``first_check`` steps, and the next drop not before the run is twice as long.
    With ``params`` all begins anew, the average at these values and the scale at 1, as
    in ``init``. It runs under ``jax.jit``, and acts on each state of :func:`autodrop`.

    After a NaN, go on from a checkpoint, parameters and state, with ``factor=0.5``.
    Without one the average is a way back, as it never takes in a value that is not
    finite; the optimizer has to begin anew::

        params = autodrop_eval_params(opt_state, params)
        scale = 0.5 * autodrop_metrics(opt_state)["scale"]
        opt_state = autodrop_restart(optimizer.init(params), scale=scale)

    Args:
      opt_state: the state of an optimizer that contains :func:`autodrop`.
      params: where to start over; None: the run goes on.
      scale: what updates are multiplied by from now on, above 0. The floor
        ``min_scale`` does not hold for it.
      factor: or what to multiply the scale by, above 0. By default it stays, or is 1
        with ``params``.

    Returns:
      The new state, of the same structure, shapes and dtypes.

    Raises:
      ValueError: ``scale`` or ``factor`` is out of its range, or both are given;
        ``opt_state`` has no state of :func:`autodrop`, or one made for parameters
        other than ``params``.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax import autodrop, autodrop_metrics, autodrop_restart
      >>> optimizer = optax.chain(optax.sgd(0.1), autodrop())
      >>> state = optimizer.init(jnp.ones(3))
      >>> state = autodrop_restart(state, factor=0.5)
      >>> float(autodrop_metrics(state)["scale"])
      0.5
    """
    if scale is not None and factor is not None:
        raise ValueError(
            f"Both scale={scale!r} and factor={factor!r} were given: pass the new scale"
            " or what to multiply the present one by, not both."
        )
    for name, value in ("scale", scale), ("factor", factor):
        if value is not None:
            check_arguments(**{name: value})

    call = "autodrop_restart(opt_state, params)"
    found = [state for _, state in find_states(opt_state, params, call)]
    if not any(isinstance(state, AutoDropState) for state in found):
        raise ValueError(
            "opt_state has no state of autodrop(), only one of a published method,"
            " which alone sets its rate."
        )
    if any(type(state.rate_scale).__module__.startswith("flax.nnx") for state in found):
        raise ValueError(
            "opt_state is that of an nnx.Optimizer, which is changed in place. Call"
            " autodrop_restart(optimizer, ...) of autodrop_optax.flax."
        )

    def restarted(node: Any) -> Any:
        if not isinstance(node, AutoDropState):
            return node
        if params is not None:
            node = start_over(node, select_covered(node.average, params))
        new = node.rate_scale
        if scale is not None:
            new = jnp.full_like(new, *scalars(new.dtype, scale))
        elif factor is not None:
            new = new * scalars(new.dtype, factor)[0]
        return begin_phase(node, new)

    return jax.tree.map(restarted, opt_state, is_leaf=is_state)
