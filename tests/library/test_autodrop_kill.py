"""A run that is killed again and again ends as one that was not, bit for bit."""

import random
import re
import sys
import time
from pathlib import Path

import killed_training
import pytest
from processes import Processes

KILLS = 4


def start(folder):
    return Processes(
        [[sys.executable, killed_training.__file__, "--folder", str(folder)]]
    )


def saved(folder: Path) -> int:
    """The step of the last checkpoint that is complete."""
    names = [path.name for path in (folder / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


@pytest.mark.slow
def test_killed_and_resumed_is_the_same_run(tmp_path):
    with start(tmp_path / "whole") as whole:
        whole.finish(timeout=300)
        drops = int(re.search(r"drops: (\d+)", whole.output(0))[1])
    assert drops >= 3
    rng, killed = random.Random(0), tmp_path / "killed"
    for kill in range(KILLS):
        before = saved(killed)
        with start(killed) as run:
            # Some checkpoints on, and then at any moment of a step or of a checkpoint.
            for _ in run.poll(timeout=300):
                if saved(killed) >= before + 2 * killed_training.EVERY:
                    break
            time.sleep(rng.uniform(0, 20 * killed_training.PAUSE))
            run.all[0].kill()
            assert run.exit_codes(timeout=60) == [-9]
            assert ("resumed" in run.output(0)) == (kill > 0)
    assert not (killed / "result").exists()
    with start(killed) as last:
        last.finish(timeout=300)
    assert (killed / "result").read_bytes() == (tmp_path / "whole/result").read_bytes()
