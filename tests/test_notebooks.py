"""The published notebooks: their two forms agree, and their outputs are clean."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("*.py"))
EACH = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def text_cells(source: Path) -> list[tuple[str, str]]:
    """The cells of jupytext's percent format, each with its kind."""
    _, *cells = re.split(r"^# %%", source.read_text(), flags=re.MULTILINE)
    found = []
    for cell in cells:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        found.append(("markdown" if "[markdown]" in head else "code", body.strip()))
    return found


def paired(source: Path) -> dict:
    return json.loads(source.with_suffix(".ipynb").read_text())


def outputs(source: Path) -> list[dict]:
    return [o for cell in paired(source)["cells"] for o in cell.get("outputs", [])]


def words(value) -> str:
    """All that is text in a part of a notebook, without the images."""
    if isinstance(value, dict):
        kept = (v for k, v in value.items() if not k.startswith("image/"))
        return "\n".join(map(words, kept))
    if isinstance(value, list):
        return "\n".join(map(words, value))
    return value if isinstance(value, str) else ""


def first_code_cell(source: Path) -> str:
    return next(body for kind, body in text_cells(source) if kind == "code")


def test_there_are_pairs():
    assert len(SOURCES) >= 3
    assert [p.stem for p in sorted(NOTEBOOKS.glob("*.ipynb"))] == [
        p.stem for p in SOURCES
    ]


@EACH
def test_both_forms_have_the_same_cells(source):
    published = [
        (cell["cell_type"], "".join(cell["source"]).strip())
        for cell in paired(source)["cells"]
    ]
    assert published == text_cells(source)


@EACH
def test_outputs_are_those_of_one_run_without_errors_or_warnings(source):
    code = [c for c in paired(source)["cells"] if c["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in code]
    assert counts == list(range(1, len(code) + 1))
    assert any("image/png" in o.get("data", {}) for o in outputs(source))
    for output in outputs(source):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]
        assert "Warning" not in words(output)


@EACH
def test_nothing_names_the_machine(source):
    text = words([outputs(source), paired(source)["metadata"]])
    places = r"/(?:tmp|work|root|home|usr|opt|var|mnt)\b|site-packages"
    assert not re.search(places, text), re.search(places, text)


@EACH
def test_it_is_small(source):
    assert source.with_suffix(".ipynb").stat().st_size < 400_000


@EACH
def test_elsewhere_the_first_cell_does_nothing(source, monkeypatch):
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    path = list(sys.path)
    exec(first_code_cell(source), {})
    assert sys.path == path


@EACH
def test_in_colab_the_first_cell_installs_the_package(source, monkeypatch):
    commands = []
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr(subprocess, "run", lambda c, check: commands.append(c))
    monkeypatch.setattr(sys, "path", list(sys.path))
    exec(first_code_cell(source), {})
    clone, install = commands
    assert clone[:2] == ["git", "clone"]
    folder = clone[-1]
    assert f"{folder}[experiments]" in install
    assert sys.path[0] == folder


@EACH
def test_the_badge_opens_this_notebook(source):
    (owner, name) = re.search(
        r"colab\.research\.google\.com/github/([\w.-]+)/autodrop_optax/blob/main/"
        r"notebooks/([\w]+)\.ipynb",
        source.read_text(),
    ).groups()
    assert name == source.stem
    assert f'"https://github.com/{owner}/autodrop_optax"' in first_code_cell(source)


@pytest.fixture
def address():
    """The program that writes the repository's address."""
    path = NOTEBOOKS / "tools" / "address.py"
    spec = importlib.util.spec_from_file_location("address", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_name_the_repository_of_the_package(address):
    name = address.repository()
    assert {p.suffix for p in address.places()} == {".py", ".ipynb", ".cff"}
    for path in address.places():
        text = path.read_text()
        assert f"github.com/{name}" in text, path
        assert address.with_address(text, name) == text, path


def test_an_address_is_set_in_one_place(address, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(address, "ROOT", tmp_path)
    for path in ("CITATION.cff", "notebooks/quickstart.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(NOTEBOOKS.parent / path, tmp_path / path)
    project = tmp_path / "pyproject.toml"

    def set_address(address):
        project.write_text(f'[project.urls]\nRepository = "{address}"\n')

    set_address("https://github.com/REPOSITORY_OWNER/autodrop_optax")
    address.main([])
    assert address.main(["--check"]) == 1
    assert "no address is set" in capsys.readouterr().out

    set_address("https://github.com/some-one/autodrop_optax")
    assert address.main(["--check"]) == 1
    assert "not at some-one/autodrop_optax: " in capsys.readouterr().out
    assert address.main([]) == 0
    assert address.main(["--check"]) == 0
    text = (tmp_path / "notebooks" / "quickstart.py").read_text()
    assert 'repository = "https://github.com/some-one/autodrop_optax"' in text
    assert "/github/some-one/autodrop_optax/blob/main/notebooks/quickstart" in text
    assert 'clone = "/content/autodrop_optax"' in text

    set_address("https://example.org/autodrop_optax")
    with pytest.raises(SystemExit, match=r"https://github.com/OWNER/autodrop_optax"):
        address.main([])
