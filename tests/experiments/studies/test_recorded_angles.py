"""The study that records angles for the theory."""

import math
from pathlib import Path

import numpy as np

from experiments.studies.plan import FinishedRun, plan
from experiments.studies.registry import STUDIES
from experiments.studies.study import Runs
from experiments.theory.recorded_angles import read


def test_what_is_recorded_comes_back(tmp_path):
    study = STUDIES["recorded_angles"]
    planned = plan(study.arms("digits_mlp"), "digits_mlp", (0, 1), Path("nowhere"))
    assert {run.config.schedule_name for run in planned} == {"constant"}
    angles = np.array([math.nan, 61.2345, 70.0])
    rows = [
        {"epoch": n, "angular_velocity": angle, "train_loss": 1 / n, "seconds": 1.0}
        for n, angle in enumerate(angles, start=1)
    ]
    finished = [FinishedRun(run, rows) for run in planned]
    study.report(Runs(finished), tmp_path)
    recorded = read(tmp_path / "recorded_angles.csv")
    assert [(run.learning_rate, run.seed) for run in recorded] == [
        (run.config.learning_rate, run.config.seed) for run in planned
    ]
    for run in recorded:
        np.testing.assert_array_equal(run.epoch, [1, 2, 3])
        np.testing.assert_allclose(run.angle, angles, atol=6e-4)
        np.testing.assert_allclose(run.train_loss, [1, 1 / 2, 1 / 3], rtol=1e-3)
