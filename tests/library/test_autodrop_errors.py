"""autodrop's metrics, what it says to bad input, and what its file imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from autodrop_runs import EAGER

import autodrop_optax
from autodrop_optax import autodrop, autodrop_metrics

# --- Metrics -------------------------------------------------------------------------


def test_the_metrics():
    link = autodrop(min_scale=0.5, ratio=1.5, **EAGER)
    state = link.init(jnp.ones(2))
    rows = []
    for i in range(7):
        params = jnp.array([1.0, i % 2])
        _, state = link.update(params, state, params)
        rows.append({k: float(v) for k, v in autodrop_metrics(state).items()})
    assert all(list(row) == ["scale", "num_drops", "angle", "max_angle",
                             "steps_since_drop", "next_check", "at_floor"]
               for row in rows)  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    # Checks at steps 1, 2, 3 of a phase; a drop at step 3, to the floor.
    assert columns["scale"] == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert columns["num_drops"] == [0, 0, 1, 1, 1, 1, 1]
    assert columns["at_floor"] == [0, 0, 1, 1, 1, 1, 1]
    assert columns["steps_since_drop"] == [1, 2, 0, 1, 2, 3, 4]
    assert columns["next_check"] == [2, 3, 1, 2, 3, 4, 6]
    assert columns["angle"][:2] == [0, 0]
    assert all(0 < angle <= 180 for angle in columns["angle"][2:])
    assert columns["max_angle"] == [np.float32(1e-3)] * 7


def test_at_the_floor_the_scale_is_the_floor():
    link = autodrop(min_scale=0.3, drop_factor=0.55, **EAGER)
    state = link.init(jnp.ones(2))
    for i in range(60):
        params = jnp.array([1.0, (i * i) % 7])
        _, state = link.update(params, state, params)
    metrics = autodrop_metrics(state)
    assert metrics["at_floor"]
    assert metrics["scale"] == jnp.float32(0.3)
    # 0.55, the product of two being just above the floor, and the floor.
    assert int(metrics["num_drops"]) == 3


def test_metrics_of_several_states_carry_their_paths():
    state = {name: autodrop().init(jnp.ones(2)) for name in ("generator", "critic")}
    metrics = autodrop_metrics(state)
    assert {"generator/scale", "critic/at_floor"} <= set(metrics)
    assert len(metrics) == 14


# --- Bad input -----------------------------------------------------------------------

RANGES = {
    "drop_factor": ("between 0 and 1, both excluded", [0, 1, 1.5, -0.5, np.nan, "x"]),
    "min_scale": ("at least 0 and below 1", [-0.1, 1, 2.0, np.nan, None]),
    "max_angle": ("above 0 and at most 180 degrees, or None", [0, -1, 180.5, "80"]),
    "power": ("between 0 and 1000", [-1, 1001, np.inf, None, True]),
    "ratio": ("between 1.1 and 100", [1, 1.05, 0.5, 101, np.inf, np.nan, None]),
    "patience": ("an integer of at least 1", [0, -1, 1.5, True, "2", 2**31]),
    "first_check": ("an integer of at least 1", [0, 64.0, None, False]),
    "state_dtype": ("a floating point dtype of 16 bits or more", ["int32", "fp8"]),
    "state_memory_kind": ("'device' or 'pinned_host'", ["host", None]),
}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [(name, v, allowed) for name, (allowed, vs) in RANGES.items() for v in vs],
)
def test_out_of_range(name, value, allowed):
    pattern = f"{name} must be {re.escape(allowed)}.*got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=pattern):
        autodrop(**{name: value})


@pytest.mark.parametrize("name", list(RANGES)[:7])
def test_several_values_at_once(name):
    with pytest.raises(ValueError, match=rf"{name} must be a scalar.*\(2,\).*vmap"):
        autodrop(**{name: jnp.array([1, 2])})


def test_what_is_in_range_passes():
    autodrop(drop_factor=np.float32(0.1), min_scale=0, max_angle=180, power=0,
             ratio=1.1, patience=np.int64(1), first_check=np.int32(1),
             state_dtype=jnp.bfloat16, state_memory_kind="pinned_host")  # fmt: skip
    link = autodrop(power=8, ratio=2)  # integers
    assert float(autodrop_metrics(link.init(jnp.ones(1)))["max_angle"]) == (
        pytest.approx(84.945, abs=1e-3)
    )


def test_an_injected_dtype_says_to_make_it_static():
    optimizer = optax.inject_hyperparams(autodrop)(state_dtype=jnp.bfloat16)
    with pytest.raises(ValueError, match=r"static_args=\('state_dtype'"):
        optimizer.init(jnp.ones(2))
    static = optax.inject_hyperparams(autodrop, static_args=("state_dtype",))
    state = static(state_dtype=jnp.bfloat16).init(jnp.ones(2))
    assert state.inner_state.previous_step.dtype == jnp.bfloat16


def test_parameters_are_needed():
    link = autodrop()
    state = link.init(jnp.ones(2))
    with pytest.raises(
        ValueError,
        match=r"autodrop measures.*params=None.*update\(updates, state, params\)",
    ):
        link.update(jnp.ones(2), state)


def test_other_parameters_than_at_init():
    link = autodrop()
    state = link.init({"w": jnp.ones(2)})
    for other, what in (
        ({"w": jnp.ones(3)}, r"shape at \['w'\]: \(3,\) vs \(2,\)"),
        ({"v": jnp.ones(2)}, r"structure: only params have \['v'\]"),
        ({"w": jnp.ones(2, jnp.complex64)}, "dtype at .*complex64 vs float32"),
    ):
        for update in (link.update, jax.jit(link.update)):
            with pytest.raises(ValueError, match=f"given to init differ in {what}"):
                update(other, state, other)


def test_parameters_without_a_direction():
    with pytest.raises(ValueError, match=r"every leaf is of dtype bool, int32"):
        autodrop().init({"i": jnp.arange(3), "b": jnp.array([True])})
    autodrop().init({})  # a frozen group, or a placeholder


def test_around_lookahead():
    params = optax.LookaheadParams.init_synced(jnp.ones(2))
    around = optax.chain(optax.lookahead(optax.sgd(0.1), 5, 0.5), autodrop())
    with pytest.raises(ValueError, match=r"LookaheadParams.*chain\(base, autodrop\(\)"):
        around.init(params)
    inside = optax.lookahead(optax.chain(optax.sgd(0.1), autodrop()), 5, 0.5)
    inside.init(params)


# --- What it imports -----------------------------------------------------------------


def imported_by(name: str, seen: dict) -> dict:
    """The modules of the package that a module needs, and what each imports."""
    if name not in seen:
        path = Path(autodrop_optax.__file__).parent / f"{name}.py"
        seen[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                seen[name] |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                seen[name].add(node.module)
        for module in seen[name]:
            package, _, inner = module.partition(".")
            if package == "autodrop_optax":
                imported_by(inner, seen)
    return seen


def test_the_method_and_its_kernel_need_jax_and_optax_alone():
    imports = set().union(*imported_by("_autodrop", {}).values())
    packages = {module.partition(".")[0] for module in imports}
    third_party = packages - set(sys.stdlib_module_names) - {"autodrop_optax"}
    assert third_party == {"jax", "numpy", "optax"}


def test_what_other_parts_need_is_not_imported_with_it():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('flax', 'matplotlib', 'orbax'));"
        "import jax.numpy as jnp; from autodrop_optax import autodrop;"
        "link = autodrop(); x = jnp.ones(2); link.update(x, link.init(x), x)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
