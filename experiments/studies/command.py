"""The command `study`: a subcommand for each question."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Union

import tyro

from experiments.studies.registry import COMPUTATIONS, STUDIES
from experiments.studies.study import Study, StudyOptions, make


def command_of(study: Study) -> Callable[[StudyOptions], None]:
    """The command of a study that is answered by training runs."""

    def command(options: Annotated[StudyOptions, tyro.conf.arg(name="")]) -> None:
        make(study, options)

    command.__doc__ = study.what
    return command


COMMANDS = {name: command_of(study) for name, study in STUDIES.items()} | COMPUTATIONS
if TYPE_CHECKING:
    _Question = Any
else:
    # Each is a subcommand, which makes nothing of its options but the study.
    _Question = Union[  # noqa: UP007 (of a tuple)
        tuple(
            Annotated[Any, tyro.conf.subcommand(name=name, constructor=command)]
            for name, command in COMMANDS.items()
        )
    ]


def study(question: Annotated[_Question, tyro.conf.arg(name="")]) -> None:
    """Makes the runs of a study, then its tables and figures."""
    del question  # has been answered
