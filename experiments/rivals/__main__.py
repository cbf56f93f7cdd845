"""Writes the table of what the rules need into the README: experiments.rivals."""

from pathlib import Path

from experiments.rivals.rules import with_table

README = Path(__file__).with_name("README.md")

if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
