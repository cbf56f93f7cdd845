"""A conditional that leaves its operand in place."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax import lax

T = TypeVar("T")


def once(condition: jax.Array, body: Callable[[T], T], operand: T) -> T:
    """Returns ``body(operand)`` where ``condition`` holds, else ``operand``.

    It is a ``while_loop`` of zero or one turns. A ``lax.cond`` would copy every
    array that passes through its branches on every call, taken or not; a loop's
    carry is aliased, so that a turn not taken costs nothing. It is not meant to be
    differentiated.

    Args:
      condition: a boolean scalar.
      body: maps a pytree to one of the same structure, shapes and dtypes.
      operand: the pytree. Whatever else ``body`` reads it may close over.
    """

    def turn(carry):
        again, value = carry
        # `& False` and not a fresh constant: it keeps the sharding of the flag.
        return again & False, body(value)

    return lax.while_loop(lambda carry: carry[0], turn, (condition, operand))[1]
