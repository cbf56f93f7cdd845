"""Executes the notebooks from their text form; an error or a warning fails.

    python notebooks/tools/execute.py             every notebook, small settings
    python notebooks/tools/execute.py quickstart  one of them
    python notebooks/tools/execute.py --write     with the settings that it is published
                                                  with, outputs into the .ipynb

Each runs in an empty folder, so that nothing is left in the repository. Small settings
are what a notebook does with NOTEBOOK_SMALL=1 in the environment.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1]


def execute(source: Path) -> nbformat.NotebookNode:
    """Returns the notebook with its outputs; an error in a cell is raised."""
    notebook = jupytext.read(source)
    # As `jupytext --sync` writes it, so that it has nothing to change.
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem}-{index}"  # not random: else each run is a change
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=1200,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    return notebook


def noise(notebook: nbformat.NotebookNode) -> list[str]:
    """Returns what went to standard error, where warnings go."""
    return [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]


def main() -> int:
    """Executes what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="by default all of them")
    parser.add_argument("--write", action="store_true", help="write the .ipynb files")
    options = parser.parse_args()
    sources = sorted(NOTEBOOKS.glob("*.py"))
    if options.names:
        sources = [NOTEBOOKS / f"{name}.py" for name in options.names]
    # The kernel has this environment and, in an empty folder, needs the repository.
    os.environ["NOTEBOOK_SMALL"] = "0" if options.write else "1"
    os.environ.setdefault("NOTEBOOK_REHEARSAL", "1")  # of the one for accelerators
    os.environ["PYTHONWARNINGS"] = "default"
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(NOTEBOOKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    failed = 0
    for source in sources:
        started = time.perf_counter()
        notebook = execute(source)
        heard = noise(notebook)
        failed += bool(heard)
        seconds = time.perf_counter() - started
        print(f"{source.stem}: {seconds:.0f} s", *heard, sep="\n", flush=True)
        if options.write and not heard:
            nbformat.write(notebook, source.with_suffix(".ipynb"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
