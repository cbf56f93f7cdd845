"""Training with autodrop that goes on from its last checkpoint: a program to kill."""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

from autodrop_optax import autodrop

STEPS = 400
EVERY = 10  # steps from checkpoint to checkpoint
PAUSE = 0.005  # seconds a step, so that there is time to be killed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    link = autodrop(first_check=4, patience=1, state_dtype="bfloat16")
    optimizer = optax.chain(optax.sgd(0.5, momentum=0.5), link)

    @jax.jit
    def train(params, state, i):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), i), (20,))
        updates, state = optimizer.update(params + noise, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.full(20, 3.0)
    training, done = (params, optimizer.init(params)), 0
    with ocp.CheckpointManager(folder / "checkpoints") as manager:
        if (last := manager.latest_step()) is not None:
            target = jax.tree.map(ocp.utils.to_shape_dtype_struct, training)
            restore = ocp.args.StandardRestore(target)
            training, done = manager.restore(last, args=restore), last
            print(f"resumed at {last}")
        for i in range(done, STEPS):
            training = train(*training, i)
            if (i + 1) % EVERY == 0:
                manager.save(i + 1, args=ocp.args.StandardSave(training))
            time.sleep(PAUSE)
    leaves = [np.asarray(x) for x in jax.tree.leaves(training)]
    (folder / "result").write_bytes(b"".join(x.tobytes() for x in leaves))
    print(f"drops: {training[1][1].num_drops}")


if __name__ == "__main__":
    main()
