"""Reader for gzipped IDX files, the format of MNIST and its descendants.

A file is a big-endian header - two zero bytes, one byte for the type (8: unsigned
byte), one for the number of dimensions, then each size as 32 bits - and the values.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from experiments.errors import UserError

_UNSIGNED_BYTE = 8


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Reads a gzipped IDX file of unsigned bytes.

    Args:
      path: the file.
      shape: the sizes that the file must have.

    Returns:
      An array of that shape, uint8.

    Raises:
      UserError: the file cannot be read, is no such file, or has other sizes.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except EOFError:
        raise UserError(
            f"{path} is truncated: the compressed data end too early. Get it anew."
        ) from None
    except (OSError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as a gzip file: {error}. Get it anew."
        ) from None

    magic = bytes((0, 0, _UNSIGNED_BYTE, len(shape)))
    if content[:4] != magic:
        raise UserError(
            f"{path} is no IDX file of unsigned bytes in {len(shape)} dimensions: it"
            f" starts with {content[:4].hex(' ') or 'nothing'} instead of"
            f" {magic.hex(' ')}. Get it anew."
        )
    header_size = 4 + 4 * len(shape)
    if len(content) < header_size:
        raise UserError(f"{path} is truncated: it ends within its header. Get it anew.")
    sizes = struct.unpack(f">{len(shape)}I", content[4:header_size])
    if sizes != shape:
        raise UserError(
            f"{path} holds an array of shape {sizes}, expected {shape}. Get it anew."
        )
    values = np.frombuffer(content, np.uint8, offset=header_size)
    if values.size != math.prod(shape):
        raise UserError(
            f"{path} is damaged: its header announces {math.prod(shape)} values, it"
            f" holds {values.size}. Get it anew."
        )
    return values.reshape(shape)
