"""Files from the internet, kept in the user's cache."""

from collections.abc import Mapping
from pathlib import Path

from experiments.errors import DataUnavailableError


def download(
    name: str, variable: str, url: str, checksums: Mapping[str, str], folder: str
) -> Path:
    """Downloads the files that are not in the user's cache yet.

    Args:
      name: the data set's name, for people.
      variable: of the environment, with which they can name a folder instead.
      url: where the files are; a file's name is put behind it.
      checksums: of the files by name, in pooch's form.
      folder: of the cache.

    Returns:
      The folder that holds the files.

    Raises:
      DataUnavailableError: the download failed.
    """
    import pooch  # who has the files can do without

    cache = Path(pooch.os_cache("autodrop-optax")) / folder
    for file, checksum in checksums.items():
        try:
            pooch.retrieve(url + file, checksum, file, cache)
        except (OSError, ValueError) as error:
            # The library's text is a chain of nested exceptions; its type says enough.
            raise DataUnavailableError(
                f"{name} is not on this machine and could not be downloaded from"
                f" {url}{file} ({type(error).__name__}); name a folder that holds it"
                f" with --data-dir or {variable}."
            ) from error
    return cache
