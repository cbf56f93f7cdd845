"""`python -m experiments tables`: the tables of the pages, from the results.

A page has `<!-- table: NAME -->` in front of a table and `<!-- end -->` behind it; what
stands between them is made here and nowhere else.
"""

import re
from collections.abc import Callable
from pathlib import Path

from experiments.errors import UserError
from experiments.studies.rows import differences_table, read_rows, summary_table

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "experiments" / "results" / "studies"
PAGES = (ROOT / "README.md", ROOT / "experiments" / "README.md")
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def summary(name: str) -> str:
    """A study's table, one line per schedule."""
    return summary_table(read_rows(STUDIES / f"{name}.csv"))


def differences(name: str) -> str:
    """A study's differences to multi-step."""
    return differences_table(read_rows(STUDIES / f"{name}.csv"))


TABLES: dict[str, Callable[[str], str]] = {
    "summary": summary,
    "differences": differences,
}


def filled(page: str) -> str:
    """Returns a page with its tables made anew.

    Raises:
      UserError: a mark names no table, or one without results.
    """

    def fill(block: re.Match[str]) -> str:
        start, mark, _, end = block.groups()
        kind, _, name = mark.partition(" ")
        if kind not in TABLES:
            raise UserError(
                f"unknown table {mark!r}: choose from {', '.join(TABLES)}, and a name."
            )
        try:
            table = TABLES[kind](name)
        except FileNotFoundError as error:
            raise UserError(f"no results for the table {mark!r}: {error}.") from None
        return f"{start}\n{table}\n\n{end}"

    return BLOCK.sub(fill, page)


def tables_command() -> None:
    """Makes the tables of the pages anew from experiments/results."""
    for page in PAGES:
        text = page.read_text()
        new = filled(text)
        if new != text:
            page.write_text(new)
        print(f"{page.relative_to(ROOT)}: {'changed' if new != text else 'as it was'}")
