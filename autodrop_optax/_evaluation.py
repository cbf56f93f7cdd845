"""The parameters to evaluate: the average that AutoDrop keeps."""

import jax.numpy as jnp
import optax

from autodrop_optax._autodrop import AutoDropState
from autodrop_optax._params import merge_covered, select_covered
from autodrop_optax._states import check_layout, find_states
from autodrop_optax._trees import map_inexact, round_to


def autodrop_eval_params(
    opt_state: optax.OptState, params: optax.Params
) -> optax.Params:
    """Returns the average of the parameters: what to evaluate, save or serve.

    It is good whenever one stops; the parameters themselves, which go on training,
    still carry the noise of the present learning rate. A network with BatchNorm needs
    its running statistics recomputed for it (:mod:`autodrop_optax.flax`).

    Args:
      opt_state: the state of an optimizer that contains :func:`autodrop`.
      params: the parameters that are trained. What no state covers (frozen or masked
        leaves, groups without AutoDrop, integers and keys, what was filtered out of an
        Equinox model) is returned as it is here.

    Returns:
      A pytree like ``params``: the average, rounded to the parameters' dtypes. It may
      share memory with ``opt_state``: copy it before a step that donates that.

    Raises:
      ValueError: ``opt_state`` has no state of :func:`autodrop`, or two that cover the
        same parameters; or it was made for other parameters.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from autodrop_optax import autodrop, autodrop_eval_params
      >>> optimizer = optax.chain(optax.sgd(0.1), autodrop())
      >>> params = {"w": jnp.ones(3)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(params, state, params)
      >>> params = optax.apply_updates(params, updates)
      >>> autodrop_eval_params(state, params)["w"].tolist()  # the one value so far
      [1.0, 1.0, 1.0]
    """
    call = "autodrop_eval_params(opt_state, params)"
    found = [
        (path, state)
        for path, state in find_states(opt_state, params, call)
        if isinstance(state, AutoDropState)
    ]
    if not found:
        raise ValueError(
            "opt_state has no state of autodrop(), only one of a published method,"
            " which keeps no average to evaluate: evaluate the parameters, or train"
            " with autodrop()."
        )
    check_layout(opt_state, found)
    for _, state in found:
        covered = select_covered(state.average, params)
        average = map_inexact(
            lambda x, m: round_to(m, jnp.result_type(x)), covered, state.average
        )
        params = merge_covered(average, params)
    return params
