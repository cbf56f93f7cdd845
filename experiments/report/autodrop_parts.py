"""What settings of AutoDrop change: a line for each, a column for each rate."""

from collections.abc import Sequence

from experiments.report.anytime import StoppedRun
from experiments.report.statistics import difference, mean_sd
from experiments.report.tables import markdown_table


def settings_table(rows: Sequence[StoppedRun], stop: float = 1.0) -> str:
    """Each setting's error less the default's, seed by seed; bold where told apart.

    Args:
      rows: `schedule` is the name of the setting; the first is the default's, of which
        the error itself is shown. In brackets: how many drops a run made, on average.
      stop: as a part of the workload's length.
    """
    rows = [row for row in rows if row.horizon == stop]
    columns = sorted({(row.workload, row.learning_rate) for row in rows})
    settings = list(dict.fromkeys(row.schedule for row in rows))
    found: dict[tuple, dict[int, StoppedRun]] = {}
    for row in rows:
        found.setdefault(row[:3], {})[row.seed] = row

    def cell(setting: str, workload: str, rate: float) -> str:
        runs = found.get((workload, setting, rate))
        if runs is None:
            return ""
        drops = sum(row.drops for row in runs.values()) / len(runs)
        if setting == settings[0]:
            text = mean_sd(row.error for row in runs.values())
        else:
            default = found[workload, settings[0], rate]
            shared = sorted(runs.keys() & default.keys())
            text = difference([runs[i].error - default[i].error for i in shared])
        return f"{text} ({drops:.2g})"

    header = ("setting", *(f"`{name}` at {rate:g}" for name, rate in columns))
    return markdown_table(
        header,
        [(name, *(cell(name, *column) for column in columns)) for name in settings],
    )
