"""Images in one folder for each class: what there is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.errors import UserError

SUFFIXES = (".jpeg", ".jpg")  # in small or capital letters


@dataclass(frozen=True)
class ImageFolder:
    """Images of a folder with a folder for each class.

    Attributes:
      root: the folder.
      classes: the names of the folders in it, sorted; a label is an index here.
      files: relative to the root, sorted by class and name.
      labels: shape (files,), int32.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        """The number of images."""
        return len(self.files)

    def take(self, indices: np.ndarray) -> "ImageFolder":
        """Returns some of the images, in this order."""
        files = tuple(self.files[index] for index in indices)
        return replace(self, files=files, labels=self.labels[indices])


def find_images(root: Path, classes: Sequence[str] | None = None) -> ImageFolder:
    """Lists the images below a folder, which holds a folder for each class.

    Args:
      root: the folder.
      classes: the classes that there must be; None: those that there are.

    Returns:
      What there is. Files that are no JPEGs by their names are passed over.

    Raises:
      UserError: there is no such folder; it holds no class, or other classes; a class
        has no image.
    """
    if not root.is_dir():
        raise UserError(
            f"There is no folder {root}: the images are expected there as"
            f" {root}/CLASS/NAME.JPEG."
        )
    found = sorted(path.name for path in root.iterdir() if path.is_dir())
    if not found:
        raise UserError(
            f"{root} holds no folder: sort its images into one folder for each class,"
            f" as {root}/CLASS/NAME.JPEG."
        )
    if classes is not None and list(classes) != found:
        missing = _names(set(classes) - set(found))
        unknown = _names(set(found) - set(classes))
        lacks = [f"lacks the class {missing}"] if missing else []
        has = [f"has the unknown class {unknown}"] if unknown else []
        raise UserError(
            f"{root} {' and '.join(lacks + has)}: it must have the same"
            f" {len(classes)} classes as the training images."
        )
    files, labels = [], []
    for label, name in enumerate(found):
        images = sorted(
            path.name
            for path in (root / name).iterdir()
            if path.suffix.lower() in SUFFIXES
        )
        if not images:
            raise UserError(
                f"{root / name} holds no JPEG (a name that ends in"
                f" {' or '.join(SUFFIXES)}): fill it, or delete the folder."
            )
        files += [f"{name}/{image}" for image in images]
        labels += [label] * len(images)
    return ImageFolder(
        root, tuple(found), tuple(files), np.asarray(labels, dtype=np.int32)
    )


def _names(names: set[str], most: int = 3) -> str:
    listed = ", ".join(sorted(names)[:most])
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")
