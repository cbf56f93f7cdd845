"""An anchor and the step that led to it: what every angular velocity is measured from.

Two steps in a row meet at the anchor, y. With x the parameters now, or their mean:

    s_t = x - y;  w_t = angle(s_t, s_{t-1});  y = x
"""

from typing import Any

import jax.numpy as jnp
import optax

from autodrop_optax._angle import Turn, measure_turn
from autodrop_optax._once import once
from autodrop_optax._placement import load
from autodrop_optax._trees import (
    inexact_leaves,
    replace_inexact,
    round_to,
    step_between,
)


def move_anchor(
    x: optax.Params, y: optax.Params, s: optax.Params
) -> tuple[Turn, Any, Any, Any]:
    """Measures the step from the anchor to ``x`` and puts the anchor there.

    Where that step is not finite, anchor and previous step stay as they are: the next
    one leads from the last finite anchor. Both are written in place.

    Args:
      x: the parameters.
      y: the anchor, a tree like them, wherever it is kept.
      s: the previous step, another.

    Returns:
      How the parameters turned, and x, y and s in the device's memory. To go on, use
      this x: a loop that read the old one would not be ordered before one that
      overwrites it, and XLA would copy it for safety.
    """
    trees = x, y, s
    leaves = tuple(map(inexact_leaves, (x, load(y), load(s))))
    turn = measure_turn(*leaves)

    def record(operand):
        x, y, s = operand
        s = [
            round_to(step_between(p, q), r.dtype)
            for p, q, r in zip(x, y, s, strict=True)
        ]
        # y = x. The condition holds here; the selection only has y written after s,
        # the last to read it. Without an order XLA would save y first.
        y = [
            jnp.where(turn.finite, round_to(p, q.dtype), r.astype(q.dtype))
            for p, q, r in zip(x, y, s, strict=True)
        ]
        return x, y, s

    moved = once(turn.finite, record, leaves)
    x, y, s = map(replace_inexact, trees, moved)
    return turn, x, y, s
