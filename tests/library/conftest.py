"""Hostile switches for the tests of the library."""

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_arrays():
    """Nothing may depend on implicit promotion of dtypes or ranks."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def standard_promotion():
    """For tests with transformations of optax that need implicit promotion."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def promotion_as_flax_needs_it():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
