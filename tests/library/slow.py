"""The choice of many like cases: those of every run, and those of `make test-slow`."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings


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


def property_of(*strategies, few: int = 8, many: int = 500):
    """A test that is run twice: on few examples and, marked slow, on many."""

    def decorate(test):
        def body(examples):
            hypothesis_settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                # No shrinking: what fails was small to begin with, and each attempt
                # would be compiled.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(*strategies)(test))()

        body.__doc__ = test.__doc__
        cases = [
            pytest.param(few, id="few"),
            pytest.param(many, id="many", marks=pytest.mark.slow),
        ]
        return pytest.mark.parametrize("examples", cases)(body)

    return decorate
