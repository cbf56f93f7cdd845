"""The settings for 60 epochs drop on every seed, and not by luck."""

import pytest

from experiments.errors import DataUnavailableError
from experiments.report.outcome import drop_epochs
from experiments.studies.plan import arm, plan
from experiments.studies.queue import load, run_queue


@pytest.mark.slow
@pytest.mark.parametrize("workload", ["fashion_mnist_mlp", "digits_mlp"])
def test_at_least_two_drops_on_seeds_0_to_4(workload, tmp_path):
    try:
        load(workload, None)
    except DataUnavailableError as error:
        pytest.skip(str(error))
    runs = plan([arm("demo_autodrop")], workload, range(5), tmp_path)
    for run in run_queue(runs, workers=1):
        drops = drop_epochs(run.rows)
        assert len(run.rows) == 60
        assert len(drops) >= 2, (run.config.seed, drops)
        # After 13 epochs at the earliest can there be a trigger, 4 before the drop.
        assert drops[0] >= 13 + 4, (run.config.seed, drops)
        assert run.rows[-1]["learning_rate"] < 0.05
