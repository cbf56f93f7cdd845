"""The noisy quadratic model, a problem whose every expectation is known.

Definition 2 of Teng, Wang, Choromanska (2021), after Zhang et al. (2019): the loss is
L(x) = (x - c)^T A (x - c) / 2 with A = diag(a_1, ..., a_n), and every iteration draws
its own c ~ N(0, diag(sigma_1^2, ..., sigma_n^2)), so that stochastic gradient descent
reads x_{t+1} = x_t - alpha A (x_t - c_t). There are no epochs: the angular velocity is
that of single iterations.

The expectation of L over c is x^T A x / 2 plus a constant. The loss here leaves the
constant out: it is what a learning rate can do something about, and 0 at the optimum.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from autodrop_optax import autodrop_metrics, end_epoch, epoch_autodrop

START = 2.0  # every coordinate of x_0
RATES = (0.06, 0.03, 0.01, 0.001)  # those of the paper's Figure 1


class NoisyQuadratic(NamedTuple):
    """The model: a vector of curvatures and one of noise levels.

    Attributes:
      curvatures: shape (n,), the diagonal of A, positive [a_i].
      noise: shape (n,), standard deviations of c [sigma_i].
    """

    curvatures: np.ndarray | jax.Array
    noise: np.ndarray | jax.Array

    @property
    def dimension(self) -> int:
        """Number of parameters [n]."""
        return self.curvatures.shape[-1]

    def loss(self, x: jax.Array) -> jax.Array:
        """The expected loss above its minimum, x^T A x / 2; scalar for shape (n,)."""
        return jnp.vdot(jnp.asarray(self.curvatures), jnp.square(x)) / 2

    def gradient(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """A stochastic gradient, A (x - c) with a c drawn from ``key``; shape (n,)."""
        c = self.noise * jax.random.normal(key, x.shape, x.dtype)
        return jnp.asarray(self.curvatures) * (x - c)


def unit_noise(curvatures: np.ndarray) -> NoisyQuadratic:
    """The model with Sigma = I."""
    return NoisyQuadratic(curvatures, np.ones_like(curvatures))


# All with a largest curvature of 20, so that they share a largest stable rate, 0.1.
# The first is that of the paper's later version (Wang, Teng, Choromanska, 2024); the
# 2021 version prints none. The second has the larger effective dimension.
SPECTRA = {
    "linear": np.arange(1, 201) / 10,
    "narrow": np.linspace(15, 20, 300),
    "harmonic": 20 / np.arange(1, 1001),
}
SPECTRUM_LABELS = {
    "linear": "linear, 0.1 to 20, n = 200",
    "narrow": "narrow, 15 to 20, n = 300",
    "harmonic": "ill-conditioned, 20/i, n = 1000",
}


class Trajectory(NamedTuple):
    """A run, every array of shape (steps,), or (runs, steps) for several."""

    loss: jax.Array | np.ndarray  # after the iteration, above the minimum
    angular_velocity: jax.Array | np.ndarray  # degrees per iteration; NaN in the first
    learning_rate: jax.Array | np.ndarray  # of the iteration
    num_drops: jax.Array | np.ndarray  # up to and with the iteration's end


def constant(learning_rate: float | jax.Array) -> optax.GradientTransformation:
    """SGD at a constant rate, with an AutoDrop that measures and never drops."""
    watch = epoch_autodrop(
        learning_rate, threshold=0.0, averaging=False, min_learning_rate=0.0
    )
    return optax.chain(optax.sgd(learning_rate), watch)


def simulate(
    model: NoisyQuadratic,
    optimizer: optax.GradientTransformation,
    steps: int,
    key: jax.Array,
) -> Trajectory:
    """Runs an optimizer on the model from x_0 = 2, every iteration an epoch.

    Args:
      model: the model.
      optimizer: it contains an :func:`autodrop_optax.epoch_autodrop`.
      steps: iterations.
      key: of the noise.
    """

    def iterate(carry, key):
        x, state = carry
        rate = autodrop_metrics(state)["learning_rate"]
        updates, state = optimizer.update(model.gradient(x, key), state, x)
        x, state = end_epoch(optax.apply_updates(x, updates), state)
        metrics = autodrop_metrics(state)
        angle = metrics["angular_velocity"]
        record = Trajectory(
            model.loss(jnp.asarray(x)),
            jnp.where(jnp.isfinite(angle), angle, jnp.nan),
            rate,
            metrics["num_drops"].astype(jnp.float32),
        )
        return (x, state), record

    x = jnp.full(model.dimension, START, jnp.float32)
    keys = jax.random.split(key, steps)
    return jax.lax.scan(iterate, (x, optimizer.init(x)), keys)[1]
