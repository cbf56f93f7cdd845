"""What can be said about a finished run from its rows."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from experiments.run.record import Row


class Summary(NamedTuple):
    """The outcome of one run."""

    final_error: float  # percent, of the last epoch
    best_error: float  # percent, minimum over epochs: picked on the test set
    drop_epochs: list[int]
    seconds_per_epoch: float


def summarise(rows: Sequence[Row]) -> Summary:
    """Summarises a run's rows.

    The time per epoch is the median, which the first epoch's compilation and other
    work on the machine move little.
    """
    return Summary(
        final_error=rows[-1]["test_error"],
        best_error=best_error(rows),
        drop_epochs=drop_epochs(rows),
        seconds_per_epoch=statistics.median(row["seconds"] for row in rows),
    )


def best_error(rows: Sequence[Row]) -> float:
    """Returns the lowest test error in percent, of the epochs that were evaluated."""
    return min(e for row in rows if not math.isnan(e := row["test_error"]))


def drop_epochs(rows: Sequence[Row]) -> list[int]:
    """Returns the epochs at whose end the rate dropped.

    Either AutoDrop counted a drop, or the next epoch's rate is at most half of this
    one's; so a smooth schedule has none.
    """
    # The last epoch has no next one: only AutoDrop's count can tell.
    following = [*rows[1:], rows[-1]]
    counts_before = [0.0, *(row["num_drops"] for row in rows[:-1])]
    return [
        int(row["epoch"])
        for row, after, count in zip(rows, following, counts_before, strict=True)
        if row["num_drops"] > count
        or after["learning_rate"] <= 0.5 * row["learning_rate"]
    ]
