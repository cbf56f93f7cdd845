"""The demo's settings drop on every seed, and not by luck."""

import pytest

from experiments.errors import choose
from experiments.run.jobs import plan, run_all
from experiments.task.workloads import WORKLOADS


@pytest.mark.slow
@pytest.mark.parametrize("workload", ["fashion_mnist_mlp", "digits_mlp"])
def test_at_least_two_drops_on_seeds_0_to_4(workload, tmp_path):
    entry = choose(WORKLOADS, "workload", workload)
    dataset = entry.load(None)
    jobs = plan(["demo_autodrop"], workload, entry.epochs, range(5), tmp_path)
    for done in run_all(jobs, dataset):
        drops = done.result.summary.drop_epochs
        assert len(drops) >= 2, (done.job.config.seed, drops)
