"""Normalisation, crops and flips of a batch of images, on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

# Of the training images, in units of a whole: CIFAR-10's, as the paper's recipe has
# them for both data sets, and ImageNet's.
CIFAR_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
CIFAR_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[jax.Array], jax.Array]:
    """Returns a function from bytes to standardised values.

    Args:
      mean: of each channel, where bytes go from 0 to 1.
      std: the same of the standard deviation.

    Returns:
      A function from an array of shape (..., channels), uint8, to (x / 255 - mean) /
      std, the same shape, float32.
    """
    scale = np.float32(1 / (255 * np.asarray(std, np.float64)))
    shift = np.float32(np.asarray(mean, np.float64) / np.asarray(std, np.float64))
    return lambda x: x.astype(jnp.float32) * scale - shift


def crop_and_flip(key: jax.Array, images: jax.Array, padding: int = 4) -> jax.Array:
    """Shifts each image by up to ``padding`` pixels, and mirrors half of them.

    Each image is surrounded by ``padding`` black pixels, and a window of its own size
    taken anywhere in that; then it is mirrored left to right, or is not. An image's
    window depends on the key and on its place in the batch, not on the batch's size.

    Args:
      key: a key.
      images: shape (batch, height, width, channels), any dtype; zero is black.
      padding: pixels on each side.

    Returns:
      The same shape and dtype.
    """
    _, height, width, channels = images.shape
    sides = (padding, padding)
    padded = jnp.pad(images, [(0, 0), sides, sides, (0, 0)])

    def one(key: jax.Array, image: jax.Array) -> jax.Array:
        crop_key, flip_key = jax.random.split(key)
        top, left = jax.random.randint(crop_key, (2,), 0, 2 * padding + 1)
        size = (height, width, channels)
        window = jax.lax.dynamic_slice(image, (top, left, 0), size)
        return jnp.where(jax.random.bernoulli(flip_key), window[:, ::-1], window)

    indices = jnp.arange(len(images))
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
    return jax.vmap(one)(keys, padded)
