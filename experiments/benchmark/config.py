"""The options of the measurements."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

RowName = Literal[
    "default",
    "link",
    "accumulated",
    "wrapper",
    "windowed",
    "angle",
    "epoch_end",
    "pytorch",
    "memory",
]


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measures what AutoDrop costs, on one device."""

    rows: tuple[RowName, ...] = get_args(RowName)
    """What to measure."""
    repeats: int = 12
    """Timings of each side. A multiple of 6 has every order equally often."""
    size: float = 1.0
    """Multiplies the numbers of parameters and images. The limits hold for 1."""
    out: Path = Path("experiments/results")
    """Folder for benchmark.csv and benchmark.json."""
    check: bool = False
    """Exit with 1 if a limit is missed."""

    def scaled(self, number: int) -> int:
        """Returns the number at the chosen size, enough to be cut into 200 leaves."""
        return max(1000, round(number * self.size))
