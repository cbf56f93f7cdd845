"""What does keeping AutoDrop's state small cost?

Trains once and shows the parameters of every epoch to AutoDrop with its state in each
dtype. The angles of float32 are the truth; the rule, set before the first run: report
the largest and the root mean square error at each learning rate of the multi-step
schedule, seed 0, whatever they show. Beside it the bytes that optimizers keep for a
parameter of 32 bits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)
from experiments.errors import choose
from experiments.report.csv_file import write_csv
from experiments.report.tables import aligned_table
from experiments.run.environment import write_provenance
from experiments.run.training import set_up
from experiments.schedules.multistep import Multistep
from experiments.studies.study import RESULTS
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS

DTYPES = ("float32", "bfloat16", "float16")


class AngleError(NamedTuple):
    """How far the angles of one dtype are from float32's at one learning rate."""

    workload: str
    state_dtype: str
    learning_rate: float
    epochs: int
    largest_degrees: float
    rms_degrees: float
    scatter_degrees: float  # standard deviation of float32's change between epochs


class StateSize(NamedTuple):
    """What an optimizer keeps for each parameter of 32 bits, besides the parameter."""

    optimizer: str
    bytes_per_parameter: float


def angle_errors(workload: str, epochs: int, data_dir: Path | None) -> list[AngleError]:
    """Measures the angles along one multi-step run, seed 0, in every dtype."""
    config = RunConfig(workload=workload, schedule=Multistep(), epochs=epochs)
    dataset = choose(WORKLOADS, "workload", workload).load(data_dir)
    state, run_epoch = set_up(config, dataset)
    rate = WORKLOADS[workload].learning_rate
    links = {d: epoch_autodrop(rate, threshold=0.0, state_dtype=d) for d in DTYPES}
    observers = {d: link.init(state.params) for d, link in links.items()}
    rates, angles = [], {d: [] for d in DTYPES}
    for _ in tqdm(range(epochs), desc=workload, disable=None):
        state, metrics = run_epoch(state)
        rates.append(float(metrics["learning_rate"]))
        for dtype, observer in observers.items():
            _, observers[dtype] = end_epoch(state.params, observer)
            measured = autodrop_metrics(observers[dtype])["angular_velocity"]
            angles[dtype].append(float(measured))
    found = {
        d: np.where(np.isfinite(values), values, np.nan) for d, values in angles.items()
    }
    rows = []
    for dtype in DTYPES[1:]:
        for value in sorted(set(rates), reverse=True):
            here = np.array(rates) == value
            error = (found[dtype] - found["float32"])[here]
            error = error[np.isfinite(error)]
            change = np.diff(found["float32"][here])
            rows.append(
                AngleError(
                    workload=workload,
                    state_dtype=dtype,
                    learning_rate=value,
                    epochs=len(error),
                    largest_degrees=float(np.abs(error).max()),
                    rms_degrees=float(np.sqrt(np.mean(error**2))),
                    scatter_degrees=float(np.nanstd(change, ddof=1)),
                )
            )
    return rows


def optimizers() -> dict[str, Callable[[], optax.GradientTransformation]]:
    """The peers, at their defaults."""
    sgd = optax.sgd(0.1)

    def wrapped(**keywords) -> optax.GradientTransformation:
        return with_epoch_autodrop(sgd, 0.1, 100, **keywords)

    return {
        "sgd": lambda: sgd,
        "sgd, momentum": lambda: optax.sgd(0.1, momentum=0.9),
        "adam": lambda: optax.adam(0.1),
        "sgd, lookahead": lambda: optax.lookahead(sgd, 5, 0.5),
        "sgd, schedule-free": lambda: optax.contrib.schedule_free(sgd, 0.1),
        "adamw, schedule-free": lambda: optax.contrib.schedule_free_adamw(0.1),
        "prodigy": lambda: optax.contrib.prodigy(),
        "sgd, AutoDrop": wrapped,
        "sgd, AutoDrop, no averaging": lambda: wrapped(averaging=False),
        "sgd, AutoDrop, bfloat16": lambda: wrapped(state_dtype=jnp.bfloat16),
        "sgd, AutoDrop, bfloat16, no averaging": lambda: wrapped(
            state_dtype=jnp.bfloat16, averaging=False
        ),
        "sgd, AutoDrop, pinned_host": lambda: wrapped(state_memory_kind="pinned_host"),
    }


def state_sizes(size: int = 2**20) -> list[StateSize]:
    """Counts the bytes on the device of each optimizer's state for ``size`` parameters.

    Lookahead's slow parameters are counted: they are a second copy of the parameters,
    wherever they are kept.
    """
    params = jnp.ones((size,), jnp.float32)
    rows = []
    for name, make in optimizers().items():
        given, extra = params, 0
        if "lookahead" in name:
            given, extra = optax.LookaheadParams.init_synced(params), params.nbytes
        state = jax.tree.leaves(make().init(given))
        on_device = [x for x in state if x.sharding.memory_kind == "device"]
        total = extra + sum(x.nbytes for x in on_device)
        rows.append(StateSize(name, round(total / size, 2)))
    return rows


def state_dtype(
    *,
    epochs: int = 60,
    workloads: tuple[str, ...] = ("fashion_mnist_mlp", "digits_mlp"),
    data_dir: Path | None = None,
    results: Path = RESULTS,
) -> None:
    """What does keeping AutoDrop's state small cost?

    Args:
      epochs: of each run.
      workloads: the runs.
      data_dir: folder with Fashion-MNIST's four files.
      results: folder for the two tables.
    """
    _write(results / "state_size.csv", StateSize._fields, state_sizes())
    errors = [row for name in workloads for row in angle_errors(name, epochs, data_dir)]
    _write(results / "state_dtype.csv", AngleError._fields, errors)


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    write_csv(path, header, rows, ".4g")
    write_provenance(path)
    lines = [[f"{x:.4g}" if isinstance(x, float) else str(x) for x in r] for r in rows]
    print(aligned_table(header, lines))
    print(f"table: {path}")
