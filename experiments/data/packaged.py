"""Files of data that a Python package brings along."""

import importlib.metadata
from pathlib import Path

from experiments.errors import DataUnavailableError, UserError


def find_packaged(
    path: str, package: str, what: str, folder: Path | None = None
) -> tuple[Path, str]:
    """Finds a file in a folder that the user named, or else in an installed package.

    The package is not imported.

    Args:
      path: of the file in the package's installation, with forward slashes.
      package: its name in the package index.
      what: the data's name, for people.
      folder: a folder that holds the file under its last name, if the user named one.

    Returns:
      The file, and where it comes from in words.

    Raises:
      DataUnavailableError: the package is not installed, or lacks the file.
      UserError: the folder lacks the file.
    """
    name = path.rpartition("/")[2]
    if folder is not None:
        file = folder / name
        if not file.is_file():
            raise UserError(
                f"The folder for {what} named by --data-dir, {folder}, lacks {name}."
            )
        return file, str(folder)
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DataUnavailableError(
            f"{what} come with the package {package}, which is not installed: `pip"
            f" install {package}`, or name a folder that holds {name} with --data-dir."
        ) from error
    file = Path(str(distribution.locate_file(path)))
    if not file.is_file():
        raise DataUnavailableError(
            f"{package} {distribution.version} is installed without {path}: `pip"
            f" install --force-reinstall {package}`, or name a folder that holds {name}"
            " with --data-dir."
        )
    return file, f"{package} {distribution.version}"
