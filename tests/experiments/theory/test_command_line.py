"""`python -m experiments theory` as a user calls it."""

import csv

import pytest

from experiments import __main__ as command_line
from experiments.theory import command
from experiments.theory.figures import FIGURES, Figure


def main(args):
    command_line.main(["theory", *args])


@pytest.fixture
def one_figure(monkeypatch):
    """A registry of one figure, which only writes down how it was called."""
    calls = []

    def make(out, quick):
        calls.append((out, quick))
        return "what it says"

    figure = Figure("tiny", "nothing to see", make)
    monkeypatch.setattr(command, "FIGURES", {"tiny": figure})
    return calls


@pytest.mark.parametrize("name", ["tiny", "all"])
def test_a_figure_is_made_in_the_folder_asked_for(one_figure, name, tmp_path, capsys):
    main([name, "--out", str(tmp_path / "new" / "folder"), "--quick"])
    assert one_figure == [(tmp_path / "new" / "folder", True)]
    assert (tmp_path / "new" / "folder").is_dir()
    output = capsys.readouterr().out
    assert "what it says" in output
    assert str(tmp_path / "new" / "folder" / "tiny.png") in output


def test_quick_figures_do_not_replace_the_results(one_figure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    main(["tiny"])
    main(["tiny", "--quick"])
    (first, second) = one_figure
    assert first == (tmp_path / "results", False)
    assert second[0].parts[0] == "runs"


def test_an_unknown_figure_is_answered_with_the_known_ones(tmp_path):
    known = ", ".join(FIGURES)
    with pytest.raises(SystemExit, match=f"Error: .* 'figure9': choose from {known}"):
        main(["figure9", "--out", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_place_of_the_folder(one_figure, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"cannot make the folder .*file: File exists"):
        main(["tiny", "--out", str(tmp_path / "file")])
    assert not one_figure


@pytest.mark.parametrize("args", [["figure1", "--quik"], []])
def test_a_wrong_call_shows_how_to(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_from_end_to_end(name, tmp_path, capsys):
    main([name, "--quick", "--out", str(tmp_path)])
    assert capsys.readouterr().out.count("\n") > 2
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / f"{name}.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert rows
    assert all(len(row) == len(header) for row in rows)


def test_the_registry_is_by_name():
    assert all(name == figure.name for name, figure in FIGURES.items())
    assert "all" not in FIGURES
