"""Diamonds: a table of some 54000 stones, whose rows have no order.

Weight, proportions, three grades and the price of a round cut diamond in each row. The
table is that of the R package ggplot2 (Wickham, 2016).
"""

import csv
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from sklearn.preprocessing import QuantileTransformer

from experiments.data.dataset import Dataset
from experiments.data.packaged import find_packaged
from experiments.errors import UserError

PACKAGE = "plotnine"
FILE = "plotnine/data/diamonds.csv"
TEST_PART = 0.2  # of the rows

NUMBERS = ("carat", "depth", "table", "price", "x", "y", "z")
# Grades from the worst to the best.
CUTS = ("Fair", "Good", "Very Good", "Premium", "Ideal")
COLOURS = tuple("JIHGFED")
CLARITIES = ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF")


def load_diamonds(folder: Path | None = None) -> Dataset:
    """Loads the table: a stone's clarity is to be told from all else, price included.

    A fifth of the rows, drawn once and for all, is the test part; rows that repeat
    another one are left out before (the file has 146). The training rows are in random
    order as well, since the file is sorted by price.

    Numbers are mapped to a normal distribution by their ranks among the training rows,
    as is usual for networks on tables (Gorishniy, Rubachev, Khrulkov, Babenko, NeurIPS
    2021): a few typing errors lie tens of standard deviations off. Cut and colour are
    one-hot.

    Args:
      folder: a folder with diamonds.csv, or None for that of the package plotnine.

    Returns:
      The data set, inputs of shape (rows, 19), float32: 7 numbers, 5 cuts, 7 colours;
      8 classes.

    Raises:
      DataUnavailableError: the package is not installed.
      UserError: the folder lacks the file, or the file is not this table.
    """
    file, source = find_packaged(FILE, PACKAGE, "The diamonds", folder)
    numbers, cuts, colours, clarities = _read(file)
    order = np.random.default_rng(0).permutation(len(clarities))
    test_size = round(TEST_PART * len(order))
    train, test = order[test_size:], order[:test_size]
    ranks = QuantileTransformer(
        n_quantiles=min(1000, len(train)),
        output_distribution="normal",
        subsample=len(train),
    ).fit(numbers[train])

    def inputs(rows: np.ndarray):
        columns = (
            ranks.transform(numbers[rows]),
            np.eye(len(CUTS))[cuts[rows]],
            np.eye(len(COLOURS))[colours[rows]],
        )
        return jnp.asarray(np.concatenate(columns, axis=1), jnp.float32)

    return Dataset(
        name="Diamonds",
        source=source,
        num_classes=len(CLARITIES),
        train_inputs=inputs(train),
        train_labels=jnp.asarray(clarities[train], jnp.int32),
        test_inputs=inputs(test),
        test_labels=jnp.asarray(clarities[test], jnp.int32),
    )


def _read(file: Path) -> tuple[np.ndarray, ...]:
    """Returns numbers, shape (rows, 7), and the places of the three grades."""
    with file.open(newline="", encoding="utf-8") as opened:
        try:
            rows = dict.fromkeys(map(_row, csv.DictReader(opened)))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{file} is not ggplot2's table of diamonds: {error!r}. Take the one"
                f" that `pip install --force-reinstall {PACKAGE}` brings."
            ) from error
    table = np.array(list(rows))
    return table[:, : len(NUMBERS)], *table[:, len(NUMBERS) :].astype(int).T


def _row(row: dict[str, str]) -> tuple[float, ...]:
    return (
        *(float(row[name]) for name in NUMBERS),
        CUTS.index(row["cut"]),
        COLOURS.index(row["color"]),
        CLARITIES.index(row["clarity"]),
    )
