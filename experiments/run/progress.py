"""The progress of a run: a bar on a terminal, else a line per epoch."""

import math

from tqdm import tqdm

from experiments.run.distributed import is_primary
from experiments.run.metrics import Row


class Progress:
    """Shows each epoch's row; a context that closes the bar."""

    def __init__(self, label: str, epochs: int, epochs_done: int = 0):
        self._label = label
        # None: no bar where standard error is not a terminal. Of several processes only
        # the first shows one; the lines of the others are not shown either.
        self._bar = tqdm(
            desc=label,
            total=epochs,
            initial=epochs_done,
            unit="epoch",
            disable=None if is_primary() else True,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()

    def show(self, row: Row) -> None:
        """Shows one epoch's row."""
        angle = row.get("angle", row["angular_velocity"])
        known = 0 < angle < math.inf  # else there is none yet
        values = (
            f"rate {row['learning_rate']:.2g},{f' angle {angle:.1f}°,' * known}"
            f" loss {row['train_loss']:.4f}, test error {row['test_error']:.2f} %"
        )
        if self._bar.disable:
            print(
                f"{self._label}: epoch {row['epoch']:3.0f}/{self._bar.total}, {values}",
                flush=True,
            )
        else:
            self._bar.set_postfix_str(values, refresh=False)
            # Not by one: the last epoch before a kill may have to be done again.
            self._bar.update(int(row["epoch"]) - self._bar.n)
