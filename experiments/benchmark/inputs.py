"""Made-up parameters and data."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.config import BenchmarkConfig
from experiments.data.dataset import Dataset, standardised

Leaves = list[jax.Array]


def normal_leaves(size: int, leaves: int, seed: int) -> Leaves:
    """Normal numbers in equal leaves."""
    rng = np.random.default_rng(seed)
    shape = (size // leaves,)
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(leaves)]


def turning_leaves(size: int, leaves: int, degrees: float) -> tuple[Leaves, ...]:
    """Ends and starts of a step, and the step before, about ``degrees`` apart."""
    starts, previous, other = (normal_leaves(size, leaves, seed) for seed in range(3))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    triples = zip(starts, previous, other, strict=True)
    return [y + cos * s + sin * q for y, s, q in triples], starts, previous


def synthetic_fashion_mnist(config: BenchmarkConfig) -> Dataset:
    """Noise in the shape of Fashion-MNIST, with labels that can be learnt."""
    rng = np.random.default_rng(0)
    teacher = rng.standard_normal((28 * 28, 10), np.float32)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        images = rng.standard_normal((number, 28 * 28), np.float32)
        return images.reshape(-1, 28, 28), (images @ teacher).argmax(axis=1)

    train, test = draw(config.scaled(60_000)), draw(config.scaled(10_000))
    return standardised("Synthetic", "noise", 10, train, test)
