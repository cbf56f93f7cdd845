"""What happens to images on the device: windows, mirrors, normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.data import augment

# Compiled as a whole, as in a training step; operation by operation takes longer.
crop_and_flip = jax.jit(augment.crop_and_flip, static_argnums=2)


def numbered(batch, size=6, channels=3):
    """Images in which every pixel is another value, none of them black."""
    values = np.arange(1, batch * size * size * channels + 1, dtype=np.int32)
    return values.reshape(batch, size, size, channels)


@pytest.fixture(scope="module")
def crops():
    """Images, and for each what came of it under many keys."""
    images = numbered(4)
    keys = jax.random.split(jax.random.key(0), 500)
    crop = jax.jit(jax.vmap(lambda key: augment.crop_and_flip(key, images, 2)))
    return images, np.asarray(crop(keys))


def placed(image, result, padding):
    """Returns the (top, left, mirrored) that give a result; there may be only one."""
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    height, width, _ = image.shape
    found = [
        (top, left, mirrored)
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
        for mirrored in (False, True)
        if np.array_equal(
            padded[top : top + height, left : left + width][
                :, :: -1 if mirrored else 1
            ],
            result,
        )
    ]
    assert len(found) == 1
    return found[0]


def test_every_result_is_a_window_of_the_padded_image(crops):
    images, results = crops
    places = [
        placed(image, result, 2)
        for under_a_key in results[:100]
        for image, result in zip(images, under_a_key, strict=True)
    ]
    tops, lefts, _ = zip(*places, strict=True)
    # All of the 25 windows come, each from about 16 of the 400 images.
    counts = np.zeros((5, 5), int)
    np.add.at(counts, (tops, lefts), 1)
    assert counts.min() >= 4
    # Images of a batch have windows of their own.
    first, second = (np.array(places[i::4]) for i in (0, 1))
    assert 60 <= np.sum(np.any(first[:, :2] != second[:, :2], axis=1)) <= 100


def test_half_of_them_are_mirrored(crops):
    images, results = crops
    mirrored = [
        placed(image, result, 2)[2]
        for under_a_key in results
        for image, result in zip(images, under_a_key, strict=True)
    ]
    # 2000 throws: three standard deviations are 0.034.
    assert abs(np.mean(mirrored) - 0.5) < 0.034


def test_the_same_key_gives_the_same(crops):
    images, results = crops
    key = jax.random.split(jax.random.key(0), 500)[7]
    np.testing.assert_array_equal(crop_and_flip(key, images, 2), results[7])
    assert not np.array_equal(results[7], results[8])


def test_an_images_window_does_not_depend_on_the_others():
    images = numbered(8)
    key = jax.random.key(3)
    whole = crop_and_flip(key, images)
    np.testing.assert_array_equal(crop_and_flip(key, images[:3]), whole[:3])


def test_bytes_stay_bytes():
    images = jnp.full((2, 32, 32, 3), 255, jnp.uint8)
    result = crop_and_flip(jax.random.key(0), images)
    assert (result.shape, result.dtype) == (images.shape, jnp.uint8)


def test_devices_crop_their_share_without_the_others():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.P("data"))
    images = jax.device_put(numbered(16), sharding)
    key = jax.random.key(1)
    crop = jax.jit(augment.crop_and_flip, out_shardings=sharding)
    text = crop.lower(key, images).compile().as_text()
    assert "all-gather" not in text
    assert "all-reduce" not in text
    np.testing.assert_array_equal(crop(key, images), crop_and_flip(key, numbered(16)))


def test_normalisation_is_that_of_the_recipe():
    pixels = np.array([[0, 0, 0], [255, 255, 255], [125, 123, 114]], np.uint8)
    cifar = augment.normalise(augment.CIFAR_MEAN, augment.CIFAR_STD)
    expected = (pixels - np.array([125.3, 123.0, 113.9])) / np.array([63.0, 62.1, 66.7])
    np.testing.assert_allclose(cifar(jnp.asarray(pixels)), expected, atol=1e-6)
    assert cifar(jnp.asarray(pixels)).dtype == jnp.float32

    imagenet = augment.normalise(augment.IMAGENET_MEAN, augment.IMAGENET_STD)
    expected = (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array(
        [0.229, 0.224, 0.225]
    )
    np.testing.assert_allclose(imagenet(jnp.asarray(pixels)), expected, atol=1e-6)


def test_images_of_those_statistics_become_standard():
    rng = np.random.default_rng(0)
    mean, std = (255 * np.array(x) for x in (augment.CIFAR_MEAN, augment.CIFAR_STD))
    # A uniform distribution over mean ± sqrt(3) std stays within a byte.
    values = mean + std * np.sqrt(3) * rng.uniform(-1, 1, (20000, 3))
    pixels = jnp.asarray(np.clip(values.round(), 0, 255), jnp.uint8)
    result = augment.normalise(augment.CIFAR_MEAN, augment.CIFAR_STD)(pixels)
    np.testing.assert_allclose(result.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(result.std(axis=0), 1, atol=0.02)
