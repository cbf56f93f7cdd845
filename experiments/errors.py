"""Errors whose message is all that the user needs."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Something to put right by the user; shown as one sentence, without traceback."""


def choose(table: Mapping[str, T], kind: str, name: str) -> T:
    """Returns an entry of a table, or raises a UserError that names all of them."""
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}: choose from {', '.join(table)}.")
    return table[name]


class DataUnavailableError(UserError):
    """A data set is not on this machine and could not be downloaded."""
