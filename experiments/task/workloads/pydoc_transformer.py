"""A character transformer on Python's help topics."""

import functools

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from experiments.data.text import load_pydoc
from experiments.models import Transformer
from experiments.task.workloads.workload import AnyDataset, Workload


def transformer(
    dataset: AnyDataset,
    rngs: nnx.Rngs,
    *,
    width: int,
    num_layers: int,
    num_heads: int,
    dtype: DTypeLike = jnp.float32,
) -> Transformer:
    """A transformer that fits the data set."""
    return Transformer(
        dataset.num_classes,
        dataset.train_inputs.shape[1],
        width=width,
        num_layers=num_layers,
        num_heads=num_heads,
        dtype=dtype,
        rngs=rngs,
    )


# Wrong characters in the last tenth of the training part, seed 10: 39.1 % after
# multi-step, 41.8 % at a constant rate (1.38 and 1.47 nats); 38.6 and 39.5 % (1.39
# and 1.41) at a rate of 4e-3 in 25 epochs. An epoch takes 3.3 to 4.2 s
# of one core's time, on a busy machine.
PYDOC_TRANSFORMER = Workload(
    data="Python's help topics, 2400 windows of 64 characters",
    network="transformer, 2 layers, width 64, 4 heads",
    load=functools.partial(load_pydoc, length=64, train_size=2400),
    model=functools.partial(transformer, width=64, num_layers=2, num_heads=4),
    optimizer="adamw",
    learning_rate=1e-2,
    weight_decay=0.1,
    batch_size=16,
    epochs=20,
)
