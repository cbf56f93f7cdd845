"""The command `theory`: figures of the paper's theory."""

import time
from pathlib import Path
from typing import Annotated

import tyro

from experiments.errors import UserError, choose
from experiments.theory.figures import FIGURES

RESULTS = Path(__file__).parents[1] / "results" / "theory"
QUICK_RESULTS = Path("runs/theory-quick")


def theory(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FIGURE")],
    *,
    out: Path | None = None,
    quick: bool = False,
) -> None:
    """Makes a figure of the paper's theory, and says what it shows.

    Args:
      name: of the figure, as `list` shows them; "all" for all of them.
      out: folder to write to; by default experiments/results/theory, or
        runs/theory-quick with --quick.
      quick: a small size, to try it out in seconds. The results differ.
    """
    names = list(FIGURES) if name == "all" else [name]
    out = out or (QUICK_RESULTS if quick else RESULTS)
    chosen = [choose(FIGURES, "figure", name) for name in names]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out}: {error.strerror}.") from error
    for figure in chosen:
        start = time.perf_counter()
        print(figure.make(out, quick))
        print(f"{out / figure.name}.png, .csv: {time.perf_counter() - start:.0f} s")
