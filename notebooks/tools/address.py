"""Writes the repository's address, set in pyproject.toml, wherever else it stands.

    python notebooks/tools/address.py           writes it into the notebooks' two forms
                                                and into CITATION.cff
    python notebooks/tools/address.py --check   changes nothing; fails if one of them
                                                names another address, or if none is set

Needs nothing but Python: a release checks it before anything is installed.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "REPOSITORY_OWNER"
# With a page of the repository behind it in Colab's links, alone elsewhere.
ADDRESS = re.compile(
    r"(?P<place>https://(?:colab\.research\.google\.com/github|github\.com)/)"
    r"[\w.-]+/autodrop_optax\b"
)


def repository() -> str:
    """Returns owner and name, as in the address that pyproject.toml has."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        address = tomllib.load(file)["project"]["urls"]["Repository"]
    match = re.fullmatch(r"https://github\.com/([\w.-]+/autodrop_optax)", address)
    if not match:
        sys.exit(
            f"[project.urls] Repository is {address!r}:"
            " https://github.com/OWNER/autodrop_optax is what Colab can open."
        )
    return match[1]


def places() -> list[Path]:
    """Returns the files that name it."""
    notebooks = sorted((ROOT / "notebooks").glob("*"))
    texts = [path for path in notebooks if path.suffix in (".py", ".ipynb")]
    return [*texts, ROOT / "CITATION.cff"]


def with_address(text: str, name: str) -> str:
    """Returns a file's text with every address of the repository replaced."""
    return ADDRESS.sub(rf"\g<place>{name}", text)


def main(args: list[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(args).check
    name, others = repository(), []
    for path in places():
        text = path.read_text()
        if with_address(text, name) != text:
            others.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(with_address(text, name))
    if not check:
        print(f"{name}: written into {', '.join(others) or 'nothing, it was there'}")
        return 0
    if others:
        print(f"not at {name}: {', '.join(others)}; run notebooks/tools/address.py")
    if PLACEHOLDER in name:
        print("no address is set: put it into pyproject.toml, [project.urls]")
    return 1 if others or PLACEHOLDER in name else 0


if __name__ == "__main__":
    sys.exit(main())
