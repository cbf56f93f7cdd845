"""The demo's settings drop on every seed, and not by luck."""

import pytest

from experiments.report.outcome import drop_epochs
from experiments.studies.plan import arm, plan
from experiments.studies.queue import run_queue


@pytest.mark.slow
@pytest.mark.parametrize("workload", ["fashion_mnist_mlp", "digits_mlp"])
def test_at_least_two_drops_on_seeds_0_to_4(workload, tmp_path):
    runs = plan([arm("demo_autodrop")], workload, range(5), tmp_path)
    for run in run_queue(runs, workers=1):
        drops = drop_epochs(run.rows)
        assert len(drops) >= 2, (run.config.seed, drops)
