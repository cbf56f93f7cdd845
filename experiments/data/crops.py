"""From a JPEG to an array: decoding, and the usual crops of ImageNet's recipe."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from experiments.errors import UserError

# Of the random crop (Szegedy et al., 2015): its share of the area, width over height.
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10

Box = tuple[int, int, int, int]  # left, top, right, bottom


def decode(path: Path) -> Image.Image:
    """Returns the image of a file, as RGB.

    Raises:
      UserError: the file cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        # Pillow raises them all, for different damages.
        raise UserError(
            f"{path} cannot be decoded ({error}): get it anew, or delete it."
        ) from None


def random_resized_crop(
    image: Image.Image, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns a random part of an image, which may be mirrored, at a fixed size.

    Args:
      image: an RGB image.
      size: the result's height and width.
      rng: from which all that is random comes.

    Returns:
      Shape (size, size, 3), uint8.
    """
    box = random_box(image.width, image.height, rng)
    part = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    array = np.asarray(part)
    return np.ascontiguousarray(array[:, ::-1]) if rng.random() < 0.5 else array


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Returns a box of random area and aspect ratio that lies in the image.

    The share of the area is uniform in ``AREA``, the logarithm of width over height
    uniform in that of ``ASPECT``. Where ten boxes have not fitted, it is the largest
    one in the middle whose aspect ratio is allowed.
    """
    low, high = map(math.log, ASPECT)
    for _ in range(_ATTEMPTS):
        area = width * height * rng.uniform(*AREA)
        aspect = math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.integers(0, width - w, endpoint=True))
            top = int(rng.integers(0, height - h, endpoint=True))
            return left, top, left + w, top + h
    w = min(width, max(1, round(height * ASPECT[1])))
    h = min(height, max(1, round(width / ASPECT[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def centre_crop(image: Image.Image, resize: int, size: int) -> np.ndarray:
    """Returns the middle of an image after its shorter side was brought to a length.

    Args:
      image: an RGB image.
      resize: pixels of the shorter side before the crop.
      size: the result's height and width, not above ``resize``.

    Returns:
      Shape (size, size, 3), uint8.
    """
    shorter = min(image.size)
    # The longer side is cut down to whole pixels.
    width, height = (side * resize // shorter for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))
