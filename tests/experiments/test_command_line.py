"""The commands as a user calls them."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pooch
import pytest

from experiments.__main__ import main
from experiments.data import fashion_mnist
from experiments.run.metrics import read_metrics
from experiments.schedules import SCHEDULES
from experiments.studies.command import COMMANDS
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS
from experiments.theory.figures import FIGURES

REPOSITORY = Path(__file__).parents[2]


# Of this process's 8 devices: on two cores a batch of 32 in 8 shares takes longer.
ONE_DEVICE = ("--devices", "1")


def call(*parts: str) -> None:
    """Calls the command line; the parts are split at white space."""
    main([*" ".join(parts).split(), *ONE_DEVICE])


def test_list_gives_everything_one_line(capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    entries = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    names = [name for name, _ in entries]
    assert names == [*WORKLOADS, *SCHEDULES, *COMMANDS, *FIGURES, *PRESETS]
    assert all(len(about) > 10 for _, about in entries)
    titles = [line for line in lines if line and not line.startswith("  ")]
    assert [title.split()[0] for title in titles] == [
        *("Workloads", "Schedules", "Studies", "Theory", "Presets")
    ]


def test_list_shows_the_lab_notes(capsys):
    main(["list", "--notes"])
    output = " ".join(capsys.readouterr().out.split())
    for name, preset in PRESETS.items():
        for note in (name, preset.what, preset.why, preset.expected, preset.time):
            assert note in output


def test_list_into_a_pipe_that_nobody_reads_is_no_error(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        main(["list"])


def test_each_command_is_one_line_of_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    shown = output.split("(required)")[1].splitlines()
    lines = [line.strip(" │|╰─╯+-") for line in shown]
    entries = [re.match(r"• (\w+) +\S.*\.$", line) for line in lines if line]
    assert all(entries), lines
    names = ["demo", "run", "study", "report", "bench", "theory", "list"]
    assert [entry[1] for entry in entries] == names
    assert "\x1b" not in output


@pytest.mark.parametrize(
    ("args", "table"),
    [
        (["run", "constant", "--workload", "mnist"], WORKLOADS),
        (["study", "demo", "--workloads", "mnist"], WORKLOADS),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(args, table, tmp_path):
    with pytest.raises(SystemExit, match=f"choose from {', '.join(table)}"):
        main([*args, "--out", str(tmp_path)])


@pytest.mark.parametrize(
    "args",
    [
        ["run", "multistep", "--learning-rte", "0.1"],
        ["run", "demo_autodrop", "--schedule.treshold", "1"],
        ["demo", "--epoch", "three"],
        ["study", "tuning", "--sead", "3"],
    ],
)
def test_unknown_option_is_an_error(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert args[-2] in capsys.readouterr().err


def test_what_the_user_can_put_right_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["run", "multistep", "--data-dir", str(tmp_path)])
    message = str(caught.value.code)
    assert message.startswith("Error: The folder for Fashion-MNIST")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("demo --seeds", "at least one seed"),
        ("demo --epochs 0", "epochs must be at least 1, got 0"),
        ("run paper_autodrop --epochs 0", "epochs must be at least 1, got 0"),
        (
            "run paper_autodrop --schedule.threshold 2",
            r"threshold=2\.0 exceeds",
        ),
    ],
)
def test_values_out_of_range(line, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        call(line, f"--workload digits_mlp --out {tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_option_after_the_preset_changes_it(tmp_path, capsys):
    call(
        "run multistep --workload digits_mlp --epochs 2 --schedule.milestones 0.5",
        f"--out {tmp_path / 'run'}",
    )
    rates = [row["learning_rate"] for row in read_metrics(tmp_path / "run")]
    np.testing.assert_allclose(rates, [0.1, 0.02], rtol=1e-6)


@pytest.fixture
def demo(tmp_path, capsys):
    """Runs the demo on the digits; returns what it printed."""

    def run(*args):
        folder = ("--out", str(tmp_path))
        main(["demo", "--workload", "digits_mlp", *folder, *ONE_DEVICE, *args])
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def assert_plain(text):
    """No bar, no colour: nothing but lines."""
    assert text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]|it/s|epoch/s", text), text


def test_demo_from_end_to_end(demo, tmp_path):
    output = demo("--epochs", "3", "--seeds", "0", "1")
    assert "data: Digits (1347 train, 450 test) from scikit-learn" in output
    for name in ("autodrop-seed0", "multistep-seed1"):
        folder = tmp_path / f"digits_mlp-{name}"
        assert name[:5] in output
        for file in ("config.json", "environment.json", "metrics.jsonl"):
            assert (folder / file).is_file()
        assert list((folder / "tensorboard").iterdir())
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "demo.png") in output
    with (tmp_path / "demo.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["schedule"], line["seed"]) for line in lines] == [
        (name, seed)
        for name in ("autodrop", "linear_decay", "multistep")
        for seed in ("0", "1")
    ]
    rows = read_metrics(tmp_path / "digits_mlp-multistep-seed1")
    assert float(lines[-1]["final_error"]) == pytest.approx(
        rows[-1]["test_error"], abs=1e-4
    )
    assert lines[-1]["drop_epochs"] == "1 2"
    assert "±" in output
    told = re.findall(r"^(\w+) +(a rate.*?)  +\d  ", output, re.MULTILINE)
    assert dict(told) == {
        "autodrop": "a rate",
        "linear_decay": "a rate; total steps",
        "multistep": "a rate; total steps; the milestones",
    }
    assert_plain(output)


@pytest.mark.slow
def test_demo_called_again_takes_what_is_finished(demo, tmp_path):
    record = tmp_path / "digits_mlp-multistep-seed0" / "metrics.jsonl"
    demo("--epochs", "2")
    before = record.read_text()
    output = demo("--epochs", "2")
    assert "multistep, seed 0: taken from" in output
    assert "epoch   1/2" not in output
    assert record.read_text() == before
    with pytest.raises(SystemExit, match="epochs: 2 there, 3 here"):
        demo("--epochs", "3")
    output = demo("--epochs", "3", "--fresh")
    assert "epoch   1/3" in output
    assert len(read_metrics(record.parent)) == 3


@pytest.mark.slow
def test_demo_without_fashion_mnist_says_so_and_runs_on_the_digits(
    tmp_path, capsys, monkeypatch
):
    def refuse(*args, **kwargs):
        raise ConnectionError

    monkeypatch.delenv(fashion_mnist.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setattr(pooch, "retrieve", refuse)
    main(["demo", "--epochs", "1", "--out", str(tmp_path), *ONE_DEVICE])
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Fashion-MNIST is not on this machine")
    assert second.startswith("data: Digits")


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c_counts")
def test_a_study_stopped_by_ctrl_c_goes_on(tmp_path):
    epochs = 60
    command = [sys.executable, "-m", "experiments", "study", "figure6", "--workers=2"]
    command += ["--workloads", "digits_mlp", "--seeds", "0", "--epochs", str(epochs)]
    command += ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]

    def begun():
        return [len(read_metrics(f)) for f in (tmp_path / "runs").glob("digits*")]

    def start():
        # A group of its own: a terminal's Ctrl-C reaches the workers as well.
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    with start() as process:
        try:
            # One worker may have made a whole run before the other has begun.
            deadline = time.monotonic() + 240
            while len(counts := begun()) < 2 or min(counts) <= 2:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 1
    # On a busy machine Orbax says how long it waited.
    lines = filter(None, errors.splitlines())
    said = [line for line in lines if "WARNING:absl:Waiting" not in line]
    assert [line.partition(":")[0] for line in said] == [
        "Stopped. All finished epochs are kept"
    ]
    counts = begun()
    assert any(2 < count < epochs for count in counts)
    ended = counts.count(epochs)
    assert len(output.splitlines()) <= ended

    with start() as process:
        output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert_plain(output + errors)
    # A line for each run that ends, though no terminal shows a bar.
    left = 3 - ended
    lines = re.findall(rf"^(\d)/{left} digits_mlp-", output, re.MULTILINE)
    assert lines == [str(n + 1) for n in range(left)]
    assert "3 of 3 runs are finished" in output
    assert begun() == [epochs] * 3
