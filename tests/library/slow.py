"""What of many like cases runs at every time, and what in `make test-slow`."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def slow_but(cases: Mapping[str, Any] | Iterable[str], *fast: str) -> list:
    """Returns cases as `pytest.mark.parametrize` takes them, all slow but some.

    Args:
      cases: values by name, or names that are the values; a tuple is several values.
      fast: names of those that are not slow.
    """
    if not isinstance(cases, Mapping):
        cases = {name: name for name in cases}
    assert set(fast) <= set(cases)
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            id=name,
            marks=() if name in fast else pytest.mark.slow,
        )
        for name, value in cases.items()
    ]
