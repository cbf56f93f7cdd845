"""What JAX compiles, as tests see it."""

import contextlib
from collections.abc import Iterator

import jax


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
