"""`python -m experiments.theory {list,all,FIGURE}`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from experiments.errors import UserError, choose
from experiments.theory.figures import FIGURES

RESULTS = Path(__file__).parents[1] / "results" / "theory"
QUICK_RESULTS = Path("runs/theory-quick")


def theory(
    name: Annotated[str, tyro.conf.Positional],
    *,
    out: Path | None = None,
    quick: bool = False,
) -> None:
    """Makes a figure of the paper's theory: NAME.png, NAME.csv, and what they say.

    Args:
      name: the figure; "all" for all of them, "list" to see what there is.
      out: folder to write to; by default experiments/results/theory, or
        runs/theory-quick with --quick.
      quick: a small size, to try it out in seconds. The results differ.
    """
    if name == "list":
        width = max(map(len, FIGURES), default=0)
        for figure in FIGURES.values():
            print(f"{figure.name:<{width}}  {figure.what}")
        return
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


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; what the user can put right is shown as one sentence."""
    try:
        tyro.cli(theory, prog="python -m experiments.theory", args=args)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
