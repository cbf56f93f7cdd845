"""What JAX compiles, as tests see it."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp


def assert_only_the_first_update_compiles(optimizer) -> None:
    params = {"w": jnp.ones((5, 7))}  # in no other test, which would compile for it
    state = optimizer.init(params)
    with compilations() as first:
        _, state = optimizer.update(params, state, params)
    assert first
    with compilations() as second:
        optimizer.update(params, state, params)
    assert not second


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Gives a list that JAX's events of compilation are added to, to the block's end.

    That it stays empty means nothing unless elsewhere it does not: JAX may rename its
    events.
    """
    noted = []

    def note(event, *_, **__):
        if "compile" in event:
            noted.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield noted
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
