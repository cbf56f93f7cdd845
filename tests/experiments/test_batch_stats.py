"""What recomputed BatchNorm statistics change: the experiment, small, and its table."""

import math
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.batch_stats import Averaging, Run, main, read
from experiments.config import AutoDropOptions


@pytest.fixture(autouse=True)
def promotion_as_flax_needs_it():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Two runs of 8 epochs; every angle counts as saturated: drops after 4, 6, 8."""
    out = tmp_path_factory.mktemp("small")
    main(
        workloads=("digits_mlp",),
        momenta=(0.99,),
        seeds=(0, 1),
        epochs=8,
        num_batches=3,
        autodrop=AutoDropOptions(threshold=180.0, max_threshold=180.0, drop_delay=2),
        out=out,
    )
    return out


def test_every_averaging_is_a_line(small):
    rows = read(small / "batch_stats.csv", Averaging)
    print(rows)
    print(read(small / "batch_stats_runs.csv", Run))
    assert [row.epoch for row in rows] == [4, 6, 8] * 2
    assert [row.number for row in rows] == [1, 2, 3] * 2
