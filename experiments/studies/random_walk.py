"""What does windowed AutoDrop do with parameters that no gradient moves?"""

import itertools
from pathlib import Path
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from tqdm import tqdm

from autodrop_optax import autodrop_metrics, windowed_autodrop
from experiments.report.csv_file import write_csv
from experiments.report.windowed import Walk, walks_table
from experiments.run.environment import write_provenance
from experiments.schedules.windowed_autodrop import WINDOWS_PER_RUN
from experiments.studies.study import RESULTS
from experiments.studies.windowed import spacing_of

SIZES = (100, 10_000, 269_322)  # the last is the perceptron's
Smoothing = Literal["time", "value"]


def random_walk(
    *, seeds: tuple[int, ...] = (0, 1, 2, 3, 4), results: Path = RESULTS
) -> None:
    """What does windowed AutoDrop do with parameters that no gradient moves?

    Args:
      seeds: of the walks; 1200 windows of 2 steps each.
      results: folder for the table.
    """
    cases = tqdm(list(itertools.product(SIZES, seeds)), disable=None)
    found = [
        walk for size, seed in cases for walk in walks(size, seed, WINDOWS_PER_RUN)
    ]
    path = results / "random_walk.csv"
    write_csv(path, Walk._fields, found)
    write_provenance(path)
    print(walks_table(found))
    print(f"table: {path}")


def walks(size: int, seed: int, windows: int) -> list[Walk]:
    """The same normal numbers, scaled by the rate, for every reading of the method.

    As a random walk they are summed up; as white noise each stands in place of the
    last.
    """
    cases = list(
        itertools.product(
            ("random walk", "white noise"), get_args(Smoothing), (False, True)
        )
    )
    links = [
        windowed_autodrop(
            1.0,
            window_steps=2,
            min_learning_rate=0.0,
            smoothing=smoothing,
            two_sided=two_sided,
        )
        for _, smoothing, two_sided in cases
    ]

    def step(carry, key):
        noise = jax.random.normal(key, (size,))
        after = []
        for (inputs, *_), link, (x, state) in zip(cases, links, carry, strict=True):
            scaled, state = link.update(noise, state, x)
            after.append((x + scaled if inputs == "random walk" else scaled, state))
        return after, None

    @jax.jit
    def run(key):
        x = jnp.zeros(size)
        start = [(x, link.init(x)) for link in links]
        carry, _ = jax.lax.scan(step, start, jax.random.split(key, 2 * windows))
        return [autodrop_metrics(state) for _, state in carry]

    found = []
    for case, metrics in zip(cases, run(jax.random.key(seed)), strict=True):
        drops, window, since = (
            float(metrics[name])
            for name in ("num_drops", "window", "windows_since_drop")
        )
        spacing, share = spacing_of(window, since, drops)
        inputs, smoothing, two_sided = case
        found.append(
            Walk(inputs, size, smoothing, two_sided, seed, drops, spacing, share)
        )
    return found
