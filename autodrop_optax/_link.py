"""A link of a method: what surrounds the method's rule in ``init`` and ``update``."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from autodrop_optax._params import (
    as_arrays,
    check_match,
    is_abstract,
    measurable,
    one_copy,
)
from autodrop_optax._placement import on_mesh_of, scalars_on_mesh_of

State = TypeVar("State", bound=Any)


def initialiser(*trees: str) -> Callable[[Callable[[Any], Any]], Any]:
    """Makes an ``init`` of a function from parameters to a state.

    Of shapes and dtypes ``init`` returns such. The state's scalars come to lie where
    the parameters are.

    Args:
      *trees: the fields of the state that are no scalars, but like the parameters.
    """

    def decorate(make_state: Callable[[Any], Any]) -> Any:
        def init_fn(params: optax.Params) -> Any:
            params = measurable(params)
            if is_abstract(params):
                return jax.eval_shape(init_fn, params)
            return scalars_on_mesh_of(params, make_state(params), trees)

        return init_fn

    return decorate


def scalars(dtype: jax.typing.DTypeLike, *values: jax.typing.ArrayLike) -> Any:
    """Returns arrays of that dtype, never weakly typed, whatever they came in."""
    return [jnp.asarray(value).astype(dtype) for value in values]


def adopt(state: State, kind: type[State], name: str, hyperparams: Any) -> State:
    """Returns the state that ``update`` was given, with the constructor's numbers.

    Raises:
      ValueError: it is no single state of the transformation ``name``.
    """
    if not isinstance(state, kind):
        raise ValueError(
            f"update of {name} got a {type(state).__name__} in place of its state. Call"
            " update(updates, state, params) with the state that optimizer.init(params)"
            " made, of the same optimizer; restore a checkpoint with that as target."
        )
    if copies := jnp.shape(state.rate_scale):
        raise ValueError(f"update of {name} got a state with {one_copy(copies)}")
    hyperparams = jax.tree.map(on_mesh_of, state.hyperparams, hyperparams)
    return state._replace(hyperparams=hyperparams)


def require_params(params: optax.Params | None, name: str) -> Any:
    """Returns the parameters that ``update`` was given, as arrays.

    Raises:
      ValueError: there are none.
    """
    if params is None:
        raise ValueError(
            f"{name} measures the parameters, but update got params=None. Call"
            " update(updates, state, params)."
        )
    return as_arrays(params)


# For those who do not jit: a loop outside of jit is compiled at every call.
@functools.partial(jax.jit, static_argnums=0)
def observe(rule: Callable[..., State], state: State, params: Any, *args: Any) -> State:
    """Returns ``rule(state, params, *args)``, where the parameters are those of init.

    Raises:
      ValueError: they do not match.
    """
    check_match(params, state.covered, "params", "those given to init")
    return rule(state, jax.lax.stop_gradient(params), *args)
