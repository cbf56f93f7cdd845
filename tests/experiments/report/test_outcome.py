"""Where a rate drops, and where it only falls."""

import pytest

from experiments.report.outcome import drop_epochs


@pytest.mark.parametrize(
    ("rates", "counts", "drops"),
    [
        pytest.param([4, 4, 2, 2, 1], [0] * 5, [2, 4], id="by-half"),
        pytest.param([4, 0.4, 0.04, 0.04], [0] * 4, [1, 2], id="one-after-the-other"),
        pytest.param([5, 4, 3, 2, 1], [0] * 5, [], id="linear"),
        pytest.param([16, 9, 4, 1], [0] * 4, [], id="smooth"),
        pytest.param([3, 3, 3], [0, 1, 2], [2, 3], id="counted-at-the-floor"),
    ],
)
def test_drops(rates, counts, drops):
    rows = [
        {"epoch": epoch, "learning_rate": rate, "num_drops": count}
        for epoch, (rate, count) in enumerate(zip(rates, counts, strict=True), 1)
    ]
    assert drop_epochs(rows) == drops
