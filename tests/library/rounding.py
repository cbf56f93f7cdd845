"""Equality of one run by two programs, which a compiler rounds differently.

A few dozen steps of problems that forget where they were: each step rounds to one part
in 2^24, the next ones shrink what it did, and some ten such parts are left.

An angle is looser, as it lies between differences of parameters. Of one that is a
hundred times shorter than they are, a part in 2^24 of them is 3e-4 degrees.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

RELATIVE, ABSOLUTE = 1e-5, 1e-6
DEGREES = 1e-3


def assert_same_but_rounding(found: Any, expected: Any) -> None:
    """Compares trees of parameters, states, metrics: angles in degrees, and the rest.

    What is recognised as an angle has `angle` or `angular` in its name.
    """

    def split(tree, angles: bool):
        return jax.tree_util.tree_map_with_path(
            lambda path, x: x if is_angle(path) == angles else jnp.zeros(()), tree
        )

    def is_angle(path) -> bool:
        name = jax.tree_util.keystr(path[-1:])
        return "angle" in name or "angular" in name

    for angles, (relative, absolute) in {
        False: (RELATIVE, ABSOLUTE),
        True: (0.0, DEGREES),
    }.items():
        chex.assert_trees_all_close(
            split(found, angles), split(expected, angles), rtol=relative, atol=absolute
        )
