"""The provenance of figures: date, versions, hardware and commit."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "autodrop-optax")


def environment(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Returns date, versions, hardware, commit; a package not there is None."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "device": jax.devices()[0].device_kind,
        "cpu": names[0] if names else platform.processor(),
        "cpu_count": os.cpu_count(),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of the code, with "-dirty" where it was changed since.

    Results are no code: a study that comes after another finds its tables changed.
    """
    where = Path(__file__).parent
    of_code = [":(top)", ":(top,exclude)experiments/results"]

    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=where, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *of_code)
        return git("rev-parse", "--short", "HEAD") + "-dirty" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_provenance(
    path: Path, part: str | None = None, commits: Iterable[str] = ()
) -> None:
    """Writes beside a table, as .json, what command made it and where.

    Args:
      path: of the table.
      part: of a table that several commands make: what of it this one made, with a
        record of its own beside those that are there.
      commits: of the code that made the runs; by default that of this process.
    """
    arguments = [shlex.quote(argument) for argument in sys.argv[1:]]
    command = " ".join(["python -m experiments", *arguments])
    record = {"command": command, **environment()}
    if commits:
        record["commit"] = ", ".join(commits)
    file = path.with_suffix(".json")
    if part is not None:
        there = json.loads(file.read_text()) if file.exists() else {}
        record = there | {part: record}
    file.write_text(json.dumps(record, indent=2) + "\n")
