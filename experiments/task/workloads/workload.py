"""A workload: what is trained, and the usual recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from experiments.models import MLP
from experiments.models.resnet import Stem


def as_it_is(inputs: jax.Array) -> jax.Array:
    """The inputs of a data set that a network takes directly."""
    return inputs


# A data set on the device, or a StreamedDataset, which would not fit there.
AnyDataset = Any


class MakeModel(Protocol):
    """Makes a workload's network."""

    def __call__(
        self, dataset: AnyDataset, rngs: nnx.Rngs, *, dtype: DTypeLike = jnp.float32
    ) -> nnx.Module:
        """Initialises it for a data set; ``dtype`` is what it computes in."""
        ...


@dataclass(frozen=True)
class Workload:
    """Everything of a training run but the learning rate's course and the seed."""

    data: str  # for people, as the next one
    network: str
    load: Callable[[Path | None], AnyDataset]
    model: MakeModel
    optimizer: str  # of OPTIMIZERS
    learning_rate: float  # the initial one
    weight_decay: float
    batch_size: int
    epochs: int
    momentum: float = 0.9
    # What the usual hand-made schedule does; the factor is epoch_autodrop's too.
    drop_factor: float = 0.2
    milestones: tuple[float, ...] = (0.3, 0.6, 0.8)  # fractions of the run
    # A data set's inputs -> the network's, in training and evaluation.
    preprocess: Callable[[jax.Array], jax.Array] = as_it_is
    # (key, a data set's inputs) -> the same, changed at random, in training.
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None

    @property
    def recipe(self) -> str:
        """How it is trained, for people."""
        return (
            f"batch {self.batch_size}, {self.optimizer}, rate {self.learning_rate:g},"
            f" momentum {self.momentum:g}, weight decay {self.weight_decay:g}"
        )


def mlp(
    dataset: AnyDataset,
    rngs: nnx.Rngs,
    *,
    hidden_sizes: tuple[int, ...],
    dtype: DTypeLike = jnp.float32,
) -> MLP:
    """A perceptron that fits the data set."""
    shape = dataset.train_inputs.shape[1:]
    return MLP(shape, hidden_sizes, dataset.num_classes, dtype=dtype, rngs=rngs)


def resnet(
    dataset: AnyDataset,
    rngs: nnx.Rngs,
    *,
    build: Callable[..., nnx.Module],
    stem: Stem,
    dtype: DTypeLike = jnp.float32,
) -> nnx.Module:
    """A residual network of a given depth."""
    return build(dataset.num_classes, stem=stem, dtype=dtype, rngs=rngs)
