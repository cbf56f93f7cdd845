"""AutoDrop, the default: its steps over steps without, its checks, its memory."""

import functools
import itertools
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import _autodrop as rule
from autodrop_optax import autodrop
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.epoch_end import read_three_write_two
from experiments.benchmark.inputs import normal_leaves, synthetic_fashion_mnist
from experiments.benchmark.optimizer_step import SGD, at_step, optimizer_side
from experiments.benchmark.steps import training_side
from experiments.benchmark.timing import Row, Side, timed_row
from experiments.task import optimizers


def default_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """All of them."""
    yield from step_rows(config)
    yield from training_rows(config)
    yield from check_rows(config)


def step_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An optimizer's step alone, by how often the average is sampled."""
    for millions, calls in ((10, 16), (100, 8)):
        gradients = [normal_leaves(config.scaled(millions * 10**6), 20, seed=0)]
        others = {
            "autodrop, every step sampled": (at_step(autodrop(), 100), 1.7),
            # One step in eight is sampled, and so is each eighth call here.
            "autodrop, after 16,000 steps": (at_step(autodrop(), 16_000), 1.10),
            "autodrop, two copies on the host, after 16,000 steps": (
                at_step(autodrop(state_memory_kind="pinned_host"), 16_000),
                1.10,
            ),
            # One in 128 is: none of these.
            "autodrop, after 200,000 steps": (at_step(autodrop(), 200_065), 1.04),
            "ema": (optax.ema(0.999), float("nan")),
        }
        for name, (link, limit) in others.items():
            yield timed_row(
                f"step, {millions} M: sgd, {name} / sgd",
                functools.partial(optimizer_side, SGD, gradients, calls),
                optimizer_side(optax.chain(SGD, link), gradients, calls),
                config.repeats,
                limit,
            )


def training_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The demo's training step with and without, from the first step on."""
    data = synthetic_fashion_mnist(config)
    base = optimizers.sgd(0.1, momentum=0.9, weight_decay=5e-4)
    for how, scan, limit in (("one scan", True, 1.02), ("step calls", False, 1.04)):
        yield timed_row(
            f"training, {how}: autodrop / without",
            functools.partial(training_side, base, data, scan),
            training_side(optax.chain(base, autodrop()), data, scan),
            config.repeats,
            limit,
        )


def check_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """A check at 100 M parameters, and how long a step with one takes to compile."""
    for leaves in (1, 200, 1000):
        trees = [normal_leaves(config.scaled(10**8), leaves, seed) for seed in range(3)]
        prepare, check = check_side(trees[:2])
        yield timed_row(
            f"check, 100 M in {leaves} / read three, write two in place",
            functools.partial(read_three_write_two, trees, True),
            check,
            config.repeats,
            1.3,
            prepare,
        )
        if not 8 < float(prepare().angles[-1]) < 172:
            raise ArithmeticError("The averages timed did not turn by usual angles.")
        del prepare, check
        for name, optimizer in (
            ("sgd", SGD),
            ("sgd, autodrop", optax.chain(SGD, autodrop())),
        ):
            what = f"seconds to compile a step, 100 M in {leaves}: {name}"
            yield Row(what, compile_seconds(optimizer, trees[0]))


def check_side(displacements: list) -> tuple[Side, Side]:
    """Averages that move by the ``displacements`` in turn, off the clock; their checks.

    It is the check alone, without the sample and the updates of the step around it.
    """
    add = jax.jit(lambda xs, ys: jax.tree.map(jnp.add, xs, ys), donate_argnums=0)
    run_check = jax.jit(rule._check, donate_argnums=0)
    step = itertools.cycle(displacements)
    # No drop: a phase that begins anew has no angle at its next check.
    zeros = [jnp.zeros_like(x) for x in displacements[0]]
    state: Any = autodrop(max_angle=180).init(zeros)

    def prepare():
        nonlocal state
        state = state._replace(average=add(state.average, next(step)))
        return state

    def run():
        nonlocal state
        state = run_check(state)
        return state

    return prepare, run


def compile_seconds(optimizer: optax.GradientTransformation, params: list) -> float:
    """How long XLA takes to compile an optimizer's step, tracing left out."""

    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = jax.eval_shape(optimizer.init, params)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params)
    start = time.perf_counter()
    lowered.compile()
    return time.perf_counter() - start
