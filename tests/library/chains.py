"""Small runs of optimizers that AutoDrop is inside or around of."""

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import end_epoch

STEPS = 2  # per epoch
# Saturated at every epoch from the third on: a drop every other epoch.
EAGER = {"threshold": 180.0, "max_threshold": 180.0, "drop_delay": 2}
PLAIN = EAGER | {"averaging": False}
HOST = {"state_memory_kind": "pinned_host"}
# JAX before 0.10.2 takes note of memory spaces on the CPU in types alone. Only the
# values can be tested there.
HOST_KIND = jax.device_put(jnp.ones(()), jax.memory.Space.Host).sharding.memory_kind


def make_params(dtype=jnp.float32):
    return {
        "encoder": {"w": jnp.arange(6.0).reshape(2, 3).astype(dtype)},
        "head": {"w": jnp.ones((3, 2), dtype), "b": jnp.zeros(2, dtype)},
    }


def random_tree(seed, like):
    """A gradient for each step, other in each."""
    leaves, treedef = jax.tree.flatten(like)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    draws = [
        jax.random.normal(k, x.shape, x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return treedef.unflatten(draws)


def types(tree):
    """Of every leaf, its type and how it is sharded."""
    return jax.tree.map(lambda x: (jax.typeof(x), jax.typeof(x).sharding), tree)


def run(
    optimizer,
    params,
    steps,
    ends_epochs=False,
    gradients=random_tree,
    jit=True,
    **extra,
):
    """Returns the parameters after each step and the last state."""
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    state = optimizer.init(params)

    def update(g, s, p):
        return optimizer.update(g, s, p, **extra)

    update = jax.jit(update) if jit else update
    end = jax.jit(end_epoch)
    course = []
    for i in range(steps):
        updates, state = update(gradients(i, params), state, params)
        params = optax.apply_updates(params, updates)
        if ends_epochs and i % STEPS == STEPS - 1:
            params, state = end(params, state)
        course.append(params)
    return course, state


def sgd():
    return optax.sgd(0.1, momentum=0.9)
