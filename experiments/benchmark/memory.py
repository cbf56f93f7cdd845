"""Memory, read off compiled programs."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import (
    autodrop,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.optimizer_step import SGD, make_optimizer_step
from experiments.benchmark.steps import NEVER
from experiments.benchmark.timing import Row


def memory_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """Copies of the parameters among the buffers of compiled programs."""
    del config  # only compiled: no need to scale
    params = [jax.ShapeDtypeStruct((500_000,), jnp.float32)] * 20
    copy = 20 * 4 * 500_000  # bytes

    def buffers(function, optimizer, *args) -> tuple[float, float]:
        state = jax.eval_shape(optimizer.init, params)
        memory = function.lower(params, state, *args).compile().memory_analysis()
        # Rounded: a state's counters and history are a few thousand bytes more.
        arguments = round(memory.argument_size_in_bytes / copy, 3)
        return arguments, memory.temp_size_in_bytes / copy

    base, _ = buffers(make_optimizer_step(SGD), SGD, params)
    # Shapes say nothing of the host's memory: docs/memory.md counts what is there.
    link = optax.chain(SGD, autodrop())
    size, temporary = buffers(make_optimizer_step(link), link, params)
    yield Row("copies: autodrop, state", size - base, limit=3.0)
    yield Row("copies: autodrop, temporary in a step", temporary)

    end = jax.jit(end_epoch, donate_argnums=(0, 1))
    for averaging, limit in ((True, 3.0), (False, 2.0)):
        link = optax.chain(SGD, epoch_autodrop(0.1, averaging=averaging))
        wrapped = with_epoch_autodrop(SGD, 0.1, NEVER, averaging=averaging)
        for name, optimizer in (("link", link), ("with_epoch_autodrop", wrapped)):
            what = f"copies, averaging={averaging}: {name}"
            size, temporary = buffers(make_optimizer_step(optimizer), optimizer, params)
            yield Row(f"{what}, state", size - base, limit=limit)
            yield Row(f"{what}, temporary in a step", temporary)
        _, temporary = buffers(end, link)
        yield Row(f"copies, averaging={averaging}: end_epoch, temporary", temporary)

    # Sampled at every step or not: the state is the same.
    windowed = optax.chain(SGD, windowed_autodrop(0.1))
    size, temporary = buffers(make_optimizer_step(windowed), windowed, params)
    yield Row("copies: windowed_autodrop, state", size - base, limit=3.0)
    yield Row("copies: windowed_autodrop, temporary in a step", temporary)
