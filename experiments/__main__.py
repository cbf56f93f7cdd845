"""The command line: `python -m experiments COMMAND`."""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence

import tyro

from experiments.benchmark.command import bench
from experiments.demo import demo
from experiments.errors import UserError
from experiments.report.pages import report
from experiments.run.command import run
from experiments.schedules import SCHEDULES
from experiments.studies.command import COMMANDS, study
from experiments.task.presets import PRESETS, summary
from experiments.task.workloads import WORKLOADS, Workload
from experiments.theory.command import theory
from experiments.theory.figures import FIGURES

DESCRIPTION = """Training runs, studies, measurements and theory: what AutoDrop does.

Begin with `demo`. `list` names all there is; `COMMAND --help` shows the options of a
command. Ctrl-C ends a run after its present epoch, and it can go on."""


def list_command(*, notes: bool = False) -> None:
    """Shows the workloads, schedules, studies, figures and presets.

    Args:
      notes: show the presets' lab notes: what for, what to expect, how long it takes.
    """
    try:
        print(_notes() if notes else _names(), flush=True)
    except BrokenPipeError:  # `list | head`; the flush at the end must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _notes() -> str:
    return "\n".join(
        f"{name}\n{textwrap.indent(str(preset), ' ' * 2)}"
        for name, preset in PRESETS.items()
    )


def _names() -> str:
    sections = {
        "Workloads": {name: _about(entry) for name, entry in WORKLOADS.items()},
        "Schedules": {name: summary(kind) for name, kind in SCHEDULES.items()},
        "Studies": {name: summary(command) for name, command in COMMANDS.items()},
        "Theory": {name: figure.what for name, figure in FIGURES.items()},
        "Presets (`list --notes` says more)": {
            name: preset.what for name, preset in PRESETS.items()
        },
    }
    return "\n\n".join(_section(title, lines) for title, lines in sections.items())


def _section(title: str, lines: Mapping[str, str]) -> str:
    """A line for each name, in columns."""
    width = max(map(len, lines))
    return "\n".join([title, *(f"  {n:<{width}}  {x}" for n, x in lines.items())])


def _about(workload: Workload) -> str:
    about = f"{workload.data}, {workload.network}, {workload.recipe}"
    return f"{about}; {workload.epochs} epochs"


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; what the user can put right is shown as one sentence."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {
                "demo": demo,
                "run": run,
                "study": study,
                "report": report,
                "bench": bench,
                "theory": theory,
                "list": list_command,
            },
            prog="python -m experiments",
            description=DESCRIPTION,
            args=args,
            config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.FlagCreatePairsOff),
        )
    except UserError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(
            "\nStopped. All finished epochs are kept: `run` goes on from there with"
            " --resume, `demo` and `study` when called again."
        )


if __name__ == "__main__":
    main()
