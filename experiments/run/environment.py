"""The provenance of figures: date, versions and hardware."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "autodrop-optax")


def environment(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Returns date, versions and hardware; a package that is not there as None."""
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
    }


def write_provenance(
    path: Path, module: str = "experiments", parts: Iterable[str] = ()
) -> None:
    """Writes beside a table, as .json, what command made it and where.

    Args:
      path: of the table.
      module: what was run, with the arguments of this process.
      parts: of a table that several commands make: the parts that this one made, each
        with a record of its own beside those that are there.
    """
    arguments = [shlex.quote(argument) for argument in sys.argv[1:]]
    command = " ".join(["python -m", module, *arguments])
    record = {"command": command, **environment()}
    file = path.with_suffix(".json")
    if parts:
        there = json.loads(file.read_text()) if file.exists() else {}
        record = there | dict.fromkeys(parts, record)
    file.write_text(json.dumps(record, indent=2) + "\n")
