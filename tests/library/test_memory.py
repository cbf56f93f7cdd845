"""What AutoDrop costs in memory, read off the compiled programs."""

import jax
import jax.numpy as jnp
import optax
import pytest
from slow import slow_but

from autodrop_optax import (
    _angle,
    autodrop,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)

SIZE = 1_000_000
SGD = optax.sgd(0.1, momentum=0.9)
COPY = 4 * SIZE  # bytes of one float32 copy of the parameters


@pytest.fixture(scope="module", autouse=True)
def one_device():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_angle, "_on_one_device", lambda x: True)
        jax.clear_caches()
        yield
    jax.clear_caches()


def compiled(function, *args):
    return jax.jit(function, donate_argnums=(0, 1)).lower(*args).compile()


def copies(optimizer):
    """Bytes of the state, in copies of the parameters."""
    # So large that scalars and histories are nothing beside it.
    size = 10**9
    params = {"w": jax.ShapeDtypeStruct((size,), jnp.float32)}
    state = jax.eval_shape(optimizer.init, params)
    bytes_of_state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    return bytes_of_state / (4 * size)


@pytest.mark.parametrize(("averaging", "most"), [(True, 3), (False, 2)])
def test_extra_copies_of_the_parameters(averaging, most):
    assert copies(epoch_autodrop(0.1, averaging=averaging)) < most + 0.001
    wrapped = with_epoch_autodrop(SGD, 0.1, 5, averaging=averaging)
    assert copies(wrapped) - copies(SGD) < most + 0.001


@pytest.mark.parametrize(
    ("link", "most"),
    [
        pytest.param(windowed_autodrop(0.1), 3, id="windowed"),
        pytest.param(autodrop(), 3, id="default"),
        pytest.param(autodrop(state_dtype="bfloat16"), 2.5, id="default-narrow"),
    ],
)
def test_copies_of_a_link(link, most):
    assert copies(link) < most + 0.001


@pytest.mark.parametrize(
    ("averaging", "leaves"),
    slow_but(
        {
            f"{averaging}-{n}": (averaging, n)
            for averaging in (True, False)
            for n in (1, 20)
        },
        *("True-20", "False-1"),
    ),
)
def test_an_epoch_end_works_in_place(averaging, leaves):
    params = [jnp.ones(SIZE // leaves)] * leaves
    state = epoch_autodrop(0.1, averaging=averaging).init(params)
    memory = compiled(end_epoch, params, state).memory_analysis()
    assert memory.temp_size_in_bytes < 0.25 * COPY
    assert memory.alias_size_in_bytes >= (4 if averaging else 3) * COPY


@pytest.mark.parametrize(
    ("optimizer", "most"),
    [
        pytest.param(optax.chain(SGD, epoch_autodrop(0.1)), 0.01, id="link"),
        pytest.param(
            optax.chain(SGD, epoch_autodrop(0.1, steps_per_epoch=5, averaging=False)),
            0.15,
            id="counting",
        ),
        # The updates are written out and, at an epoch end, where they lead.
        pytest.param(with_epoch_autodrop(SGD, 0.1, 5), 2.15, id="wrapper"),
        pytest.param(
            with_epoch_autodrop(SGD, 0.1, 5, averaging=False),
            2.15,
            id="wrapper-no-averaging",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            optax.chain(SGD, windowed_autodrop(0.1)),
            0.15,
            id="windowed",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            optax.chain(windowed_autodrop(0.1), SGD), 0.15, id="windowed-first"
        ),
        pytest.param(
            optax.chain(SGD, windowed_autodrop(0.1, sample_every=8)),
            0.15,
            id="windowed-every-8th",
        ),
        pytest.param(optax.chain(SGD, autodrop()), 0.15, id="default"),
        pytest.param(
            optax.chain(autodrop(), SGD),
            0.15,
            id="default-first",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_step_copies_no_state(optimizer, most):
    params = {"w": jnp.ones(SIZE)}

    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    program = compiled(step, params, optimizer.init(params), params)
    assert program.memory_analysis().temp_size_in_bytes < most * COPY
    text = program.as_text()
    entry = text[text.index("ENTRY") :]
    assert f"f32[{SIZE}]{{0}} copy(" not in entry


LINKS = {
    "1": windowed_autodrop(0.1),
    "8": windowed_autodrop(0.1, sample_every=8),
    "default": autodrop(),
    "default-narrow": autodrop(state_dtype="bfloat16"),
}
ENDS = {
    f"{name}-{leaves}": (link, leaves)
    for name, link in LINKS.items()
    for leaves in (1, 20)
}


@pytest.mark.parametrize(
    ("link", "leaves"), slow_but(ENDS, "8-1", "default-1", "default-20")
)
def test_a_window_or_a_check_ends_in_place(link, leaves):
    optimizer = optax.chain(SGD, link)
    params = [jnp.ones(SIZE // leaves)] * leaves

    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    program = compiled(step, params, optimizer.init(params), params)
    memory = program.memory_analysis()
    assert memory.temp_size_in_bytes < 0.25 * COPY
    assert memory.alias_size_in_bytes >= 4.5 * COPY
    # Neither in the step nor in the loops of zero or one turn.
    assert f"f32[{SIZE // leaves}]{{0}} copy(" not in program.as_text()
