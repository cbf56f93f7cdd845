"""Checks of what the rules are given: each names the value and what is allowed."""

import math
import operator
from typing import Any


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_allowed: bool = False,
) -> None:
    """Raises a ValueError unless ``low < value < high``, or ``low <= value``."""
    if low_allowed:
        allowed = f"{low:g} or more" + (f" and below {high:g}" * (high < math.inf))
    elif high < math.inf:
        allowed = f"between {low:g} and {high:g}, both excluded"
    else:
        allowed = f"above {low:g}"
    try:
        valid = not isinstance(value, bool) and (
            low < value < high or (low_allowed and value == low)
        )
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(f"{name} must be a number {allowed}, got {value!r}.")


def check_count(name: str, value: Any, *, least: int = 1) -> None:
    """Raises a ValueError unless ``value`` is an integer of at least ``least``."""
    try:
        valid = not isinstance(value, bool) and operator.index(value) >= least
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(
            f"{name} must be an integer of at least {least}, got {value!r}."
        )


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raises a ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(
            f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}."
        )
