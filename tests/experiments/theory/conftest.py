"""Fixtures of the theory's tests."""

import csv
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[3] / "experiments" / "results" / "theory"


@pytest.fixture(scope="session")
def committed():
    """Reads a committed CSV: a list of dictionaries, numbers where they are ones."""

    def value(text: str):
        try:
            return float(text)
        except ValueError:
            return {"yes": True, "NO": False}.get(text, text)

    def read(name: str) -> list[dict]:
        with (RESULTS / f"{name}.csv").open(newline="") as file:
            rows = [{k: value(v) for k, v in r.items()} for r in csv.DictReader(file)]
        assert rows
        return rows

    return read
