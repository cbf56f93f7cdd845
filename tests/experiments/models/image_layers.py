"""The networks' layers in NumPy and float64, written from their definitions."""

import numpy as np


def values(variable) -> np.ndarray:
    return np.asarray(variable[...], np.float64)


def relu(x):
    return np.maximum(x, 0.0)


def conv(x, layer, stride=1):
    """Zeros around the image, half a kernel wide; a sum over the kernel's places."""
    kernel = values(layer.kernel)
    size = len(kernel)
    x = np.pad(x, [(0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)])
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    total = 0.0
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + stride * (height - 1) + 1, stride)
            columns = slice(j, j + stride * (width - 1) + 1, stride)
            total = total + x[:, rows, columns] @ kernel[i, j]
    return total


def batch_norm(x, layer, training=False):
    if training:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    else:
        mean, var = values(layer.mean), values(layer.var)
    return values(layer.scale) * (x - mean) / np.sqrt(var + 1e-5) + values(layer.bias)


def max_pool(x):
    """3x3, stride 2, one pixel of padding."""
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    height, width = ((n - 3) // 2 + 1 for n in x.shape[1:3])
    return np.max(
        [
            x[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2]
            for i in range(3)
            for j in range(3)
        ],
        axis=0,
    )


def linear(x, layer):
    return x @ values(layer.kernel) + values(layer.bias)
