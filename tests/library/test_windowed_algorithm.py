"""Windowed AutoDrop against the same in NumPy, step by step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import RATE, flat, make_problem, unflatten
from reference import Windowed, logged
from slow import slow_but

from autodrop_optax import autodrop_metrics, windowed_autodrop

# As in test_algorithm.py: no decision of the reference may be this close.
MARGIN = 2e-3  # degrees

# The library's names of the reference's arguments.
NAMES = {
    "k": "window_steps",
    "rho": "drop_factor",
    "m": "buffer_size",
    "theta": "threshold",
    "alpha_min": "min_learning_rate",
}
BASE = {"k": 3, "m": 3, "theta": 1.0, "rho": 0.8, "alpha_min": 1e-3}
OPTIONS = {
    "paper": {"k": 8},
    "base": BASE,
    "by-value": BASE | {"smoothing": "value"},
    "two-sided": BASE | {"two_sided": True, "theta": 6.0},
    "two-sided-by-value": BASE
    | {"two_sided": True, "theta": 6.0, "smoothing": "value"},
    "windows-of-one-step": BASE | {"k": 1, "m": 10},
    "every-second-step": BASE | {"k": 4, "sample_every": 2},
    "ends-of-windows": BASE | {"k": 4, "sample_every": 4},
    "no-smoothing": BASE | {"m": 1},
    "buffer-of-ten": BASE | {"k": 2, "m": 10, "theta": 0.1},
    "floor": BASE | {"alpha_min": 0.05},
    "rate-below-floor": BASE | {"alpha_min": 0.5},
    "threshold-zero": BASE | {"theta": 0.0},
}
STATIC = ("m", "smoothing", "two_sided")
CASES = {
    f"{name}-{'first' if front else 'last'}": (name, front)
    for name, options in OPTIONS.items()
    for front in ((False, True) if not options.keys() & {"smoothing"} else (False,))
}
# Those that share a program, and one for each option that needs its own.
FAST = [
    *("base-last", "base-first", "every-second-step-first", "ends-of-windows-last"),
    *("floor-last", "rate-below-floor-first", "threshold-zero-last"),
    *("by-value-last", "two-sided-last", "no-smoothing-last"),
]


def run_reference(problem, options, front):
    """Heavy-ball SGD in float64; a record of each step and the smallest margin."""
    x, v = flat(problem.params), 0.0
    auto = Windowed(RATE, **options)
    records = []
    for c in problem.centres.reshape(-1, x.size):
        scale = auto.see(x) / RATE
        g = problem.curvature * (x - c)
        v = 0.9 * v + (scale * g if front else g)
        x = x - RATE * (v if front else scale * v)
        records.append(
            {
                "params": x,
                "learning_rate": auto.alpha,
                "angular_velocity": logged(auto.w),
                "angular_velocity_change": logged(auto.change),
                "num_drops": len(auto.drop_windows),
                "window": auto.windows,
                "windows_since_drop": auto.windows - [0, *auto.drop_windows][-1],
            }
        )
    return records, auto.margin


@functools.cache
def make_run(static, front):
    """A compiled run, whose other hyperparameters are arguments."""

    def run(params, curvature, centres, options):
        options = {NAMES.get(k, k): v for k, v in (options | dict(static)).items()}
        link = windowed_autodrop(RATE, **options)
        sgd = optax.sgd(RATE, momentum=0.9)
        optimizer = optax.chain(link, sgd) if front else optax.chain(sgd, link)

        def step(carry, c):
            params, state = carry
            x = jnp.concatenate([jnp.ravel(p) for p in jax.tree.leaves(params)])
            gradients = unflatten(curvature * (x - c), params)
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), (params, autodrop_metrics(state))

        return jax.lax.scan(step, (params, optimizer.init(params)), centres)[1]

    return jax.jit(run)


def run_library(problem, options, front):
    static = tuple((k, v) for k, v in options.items() if k in STATIC)
    defaults = {"rho": 0.95, "theta": 0.1, "alpha_min": 1e-4, "sample_every": 1}
    traced = defaults | {k: v for k, v in options.items() if k not in STATIC}
    curvature = jnp.asarray(problem.curvature, jnp.float32)
    centres = problem.centres.reshape(-1, curvature.size)
    centres = jnp.asarray(centres, jnp.float32)
    run = make_run(static, front)
    params, metrics = run(problem.params, curvature, centres, traced)
    params, metrics = jax.tree.map(np.asarray, (params, metrics))
    return [
        {"params": flat(jax.tree.map(lambda x, t=t: x[t], params))}
        | {name: value[t] for name, value in metrics.items()}
        for t in range(len(centres))
    ]


def clear_case(options, front):
    """The first problem on which the reference met no tie."""
    for seed in range(100):
        problem = make_problem(seed)
        records, margin = run_reference(problem, options, front)
        if margin > MARGIN:
            return problem, records
    raise AssertionError("no problem without a tie")


@pytest.mark.parametrize(("name", "front"), slow_but(CASES, *FAST))
def test_agrees_with_the_reference_at_every_step(name, front):
    problem, expected = clear_case(OPTIONS[name], front)
    found = run_library(problem, OPTIONS[name], front)
    for t, (e, f) in enumerate(zip(expected, found, strict=True)):
        for key in ("num_drops", "window", "windows_since_drop"):
            assert f[key] == e[key], (t, key)
        np.testing.assert_allclose(f["learning_rate"], e["learning_rate"], rtol=1e-5)
        np.testing.assert_allclose(
            f["angular_velocity"], e["angular_velocity"], atol=1e-3
        )
        np.testing.assert_allclose(
            f["angular_velocity_change"], e["angular_velocity_change"], atol=MARGIN
        )
        np.testing.assert_allclose(f["params"], e["params"], rtol=1e-4, atol=1e-5)
    assert expected[-1]["num_drops"] >= (1 if name == "paper" else 5)
