"""ImageNet (ILSVRC 2012) from folders of JPEGs, read through Grain.

1000 classes, 1281167 training and 50000 validation images; the latter are what papers
report as the test error. Its licence allows no download without an account: a folder
holds it as train/CLASS/NAME.JPEG and val/CLASS/NAME.JPEG.
"""

import functools
import os
from pathlib import Path

import numpy as np

from experiments.data.crops import centre_crop, decode, random_resized_crop
from experiments.data.image_folder import find_images
from experiments.data.streamed import StreamedDataset
from experiments.errors import DataUnavailableError

ENVIRONMENT_VARIABLE = "IMAGENET_DIR"
TRAIN_FOLDER, TEST_FOLDER = "train", "val"
SIZE = 224
TEST_RESIZE = 256


def load_imagenet(folder: Path | None = None, size: int = SIZE) -> StreamedDataset:
    """Finds ImageNet's files in ``folder`` or in the environment's IMAGENET_DIR.

    Args:
      folder: the folder that the user named, if any.
      size: height and width of the images; for the test the shorter side is first
        brought to 8/7 of it, 256 for 224.

    Returns:
      The data set: random crops of random size, mirrored or not, in training; the
      middle of each image in the test.

    Raises:
      DataUnavailableError: no folder is named.
      UserError: a folder lacks images or classes.
    """
    if folder is None:
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        if not named:
            raise DataUnavailableError(
                "ImageNet cannot be downloaded without an account: name a folder that"
                f" holds {TRAIN_FOLDER}/CLASS/NAME.JPEG and"
                f" {TEST_FOLDER}/CLASS/NAME.JPEG with --data-dir or"
                f" {ENVIRONMENT_VARIABLE}."
            )
        folder = Path(named)
    train = find_images(folder / TRAIN_FOLDER)
    test = find_images(folder / TEST_FOLDER, train.classes)
    return StreamedDataset(
        name="ImageNet",
        source=str(folder),
        num_classes=len(train.classes),
        input_shape=(size, size, 3),
        train=train,
        test=test,
        read_train=functools.partial(_read_train, size=size),
        read_test=functools.partial(_read_test, size=size),
    )


def _read_train(path: Path, rng: np.random.Generator, *, size: int) -> np.ndarray:
    return random_resized_crop(decode(path), size, rng)


def _read_test(path: Path, *, size: int) -> np.ndarray:
    return centre_crop(decode(path), size * TEST_RESIZE // SIZE, size)
