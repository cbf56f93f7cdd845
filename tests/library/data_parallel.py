"""Data-parallel training with AutoDrop, in one process or as one of several.

As a program it is one process: it trains and writes what each of its devices holds.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from problems import EPOCHS, RATE, STEPS, flat, make_problem

from autodrop_optax import (
    autodrop,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)

BATCH = 8
# Eight drops in 60 epochs, decided by 0.4 degrees or more.
OPTIONS = {"threshold": 2.0, "max_threshold": 8.0, "drop_delay": 4}
WAYS = ("link", "wrapper", "default")


def mesh_of(devices) -> Mesh:
    return jax.make_mesh(
        (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
    )


def train(mesh: Mesh, way: str):
    """Heavy-ball SGD on a noisy quadratic; each device has its share of each batch.

    Returns the record, a dictionary of arrays over epochs, and the final parameters
    and state.
    """
    problem = make_problem(0)
    noise = np.random.default_rng(0).normal(size=(EPOCHS, STEPS, BATCH, 1))
    centres = (problem.centres[:, :, None] + noise).astype(np.float32)
    curvature = jnp.asarray(problem.curvature, jnp.float32)

    sgd = optax.sgd(RATE, momentum=0.9)
    if way == "link":
        optimizer = optax.chain(sgd, epoch_autodrop(RATE, **OPTIONS))
    elif way == "default":
        optimizer = optax.chain(sgd, autodrop(first_check=4, patience=1))
    else:
        optimizer = with_epoch_autodrop(sgd, RATE, STEPS, **OPTIONS)

    def loss(params, batch):
        x = jnp.concatenate([jnp.ravel(p) for p in jax.tree.leaves(params)])
        each = 0.5 * jnp.sum(curvature[None] * jnp.square(x[None] - batch), axis=1)
        return each.mean()

    def step(carry, batch):
        params, state = carry
        gradients = jax.grad(loss)(params, batch)
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    def epoch(params, state, batches):
        (params, state), _ = jax.lax.scan(step, (params, state), batches)
        if way == "link":
            params, state = end_epoch(params, state)
        return params, state, autodrop_metrics(state)

    everywhere = NamedSharding(mesh, P())
    divided = NamedSharding(mesh, P(None, "data"))
    init = jax.jit(lambda p: (p, optimizer.init(p)), out_shardings=everywhere)
    epoch = jax.jit(epoch, donate_argnums=(0, 1), out_shardings=everywhere)
    params, state = init(problem.params)
    share = BATCH // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    rows = []
    for batches in centres:
        # A process reads no other part of a batch than its own.
        batches = jax.make_array_from_process_local_data(divided, batches[:, mine])
        params, state, metrics = epoch(params, state, batches)
        rows.append(jax.device_get(metrics))
    record = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return record, (params, state)


def local_copies(tree) -> list[np.ndarray]:
    """What each device of this process holds, as one vector of bytes each."""
    shards = [x.addressable_shards for x in jax.tree.leaves(tree)]
    return [
        np.frombuffer(b"".join(np.asarray(s.data).tobytes() for s in copy), np.uint8)
        for copy in zip(*shards, strict=True)
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--way", required=True, choices=WAYS)
    parser.add_argument("--coordinator-address", required=True)
    parser.add_argument("--num-processes", type=int, required=True)
    parser.add_argument("--process-id", type=int, required=True)
    args = parser.parse_args()
    jax.distributed.initialize(
        args.coordinator_address, args.num_processes, args.process_id
    )
    assert jax.process_count() == args.num_processes
    record, final = train(mesh_of(jax.devices()), args.way)
    copies, params = np.stack(local_copies(final)), flat(jax.device_get(final[0]))
    path = f"{args.out}/{args.process_id}.npz"
    np.savez(path, copies=copies, params=params, **record)


if __name__ == "__main__":
    main()
