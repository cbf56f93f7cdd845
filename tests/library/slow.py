"""What of many like cases runs at every time, and what in `make test-slow`."""

from collections.abc import Mapping
from typing import Any

import pytest


def slow_but(cases: Mapping[str, Any], *fast: str) -> list:
    """Returns cases as `pytest.mark.parametrize` takes them, all slow but some."""
    assert set(fast) <= set(cases)
    return [
        pytest.param(value, id=name, marks=() if name in fast else pytest.mark.slow)
        for name, value in cases.items()
    ]
