"""An anchor and the step that led to it: what every angular velocity is measured from.

Two steps in a row meet at the anchor, y. With x the parameters now, or their mean:

    s_t = x - y;  w_t = angle(s_t, s_{t-1});  y = x
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from autodrop_optax._angle import Turn, measure_turn
from autodrop_optax._once import once
from autodrop_optax._trees import round_to, step_between

Leaves = list[jax.Array]


def move_anchor(
    x: Sequence[jax.Array], y: Sequence[jax.Array], s: Sequence[jax.Array]
) -> tuple[Turn, Leaves, Leaves, Leaves]:
    """Measures the step from the anchor to ``x`` and puts the anchor there.

    Where that step is not finite, anchor and previous step stay as they are: the next
    one leads from the last finite anchor. Both are written in place.

    Args:
      x: inexact leaves of the parameters.
      y: the same leaves of the anchor.
      s: the same leaves of the previous step.

    Returns:
      How the parameters turned, and x, y and s. To go on, use this x: a loop that read
      the old one would not be ordered before one that overwrites it, and XLA would
      copy it for safety.
    """
    turn = measure_turn(x, y, s)

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

    return turn, *once(turn.finite, record, (list(x), list(y), list(s)))
