"""What the tests of the experiments share."""

import gzip
import os
import signal
import struct
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.data.digits import load_digits


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Keeps compiled epochs for later tests and processes, or they take minutes."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    yield
    for name in settings:
        del os.environ[name.upper()]
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="session")
def digits():
    return load_digits()


@pytest.fixture
def write_idx():
    """Writes an array of unsigned bytes as a gzipped IDX file."""

    def write(path: Path, array: np.ndarray) -> Path:
        header = bytes((0, 0, 8, array.ndim))
        sizes = struct.pack(f">{array.ndim}I", *array.shape)
        path.write_bytes(gzip.compress(header + sizes + array.tobytes()))
        return path

    return write


@pytest.fixture
def ctrl_c_counts():
    """Has processes started by a test take note of Ctrl-C.

    Where this one ignores it, as in a shell's background, they would inherit that. They
    do not inherit a handler. (`preexec_fn` would fork, which JAX does not bear.)
    """
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.fixture
def num_parameters():
    """Counts the parameters of a network that is built without its memory."""

    def count(build) -> int:
        model = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))
        leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
        return sum(leaf.size for leaf in leaves)

    return count
