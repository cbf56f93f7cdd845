"""The comparison's rules, its statistics, its tables, its command."""

import numpy as np
import pytest
from scipy import stats

from autodrop_optax.refinement import refine_schedule
from experiments.__main__ import main
from experiments.report import pages
from experiments.report.convex import LINEAR, ConvexRow, convex_tables, summarise
from experiments.report.csv_file import read_csv, write_csv
from experiments.report.statistics import t_limit, t_statistic
from experiments.studies.convex.problems import PROBLEMS, Problem, minimum
from experiments.studies.convex.runs import MAKERS, Outcomes, train, train_and_record
from experiments.studies.convex.schedules import COMPARED, FACTORS, REFINED
from experiments.studies.convex.study import (
    FIRST_RUN,
    RATES,
    REPORTED,
    TUNED,
    Tuned,
    best_rate,
    compare,
    rows,
    standard_error,
)


@pytest.fixture(scope="module")
def small():
    """A small problem, what it is compared with, and the comparison."""
    rng = np.random.default_rng(0)
    inputs = np.append(rng.normal(size=(64, 3)), np.ones((64, 1)), axis=1)
    labels = (inputs[:, 0] + rng.normal(size=64) > 0).astype(np.int32)
    problem = Problem(inputs, labels, 2)
    options = {"rates": (0.01, 0.1, 1.0), "epochs": 20}
    found = compare(problem, "adam", reported=(0, 1, 2), tuned=(7, 8), **options)
    return problem, options, found


@pytest.mark.slow
def test_every_schedule_is_tuned_on_some_seeds_and_reported_on_others(small):
    problem, options, found = small
    rates, epochs = options["rates"], options["epochs"]
    assert set(found) == set(COMPARED)
    for name in FACTORS:
        factors = FACTORS[name](80)
        tuning = train(problem, "adam", rates, (7, 8), factors=factors, epochs=epochs)
        best = rates[tuning.losses.mean(axis=0).argmin()]
        assert found[name].rate == best
        reported, _ = train_and_record(
            problem, "adam", best, (0, 1, 2), factors=factors, epochs=epochs
        )
        np.testing.assert_allclose(
            found[name].outcomes.losses, reported.losses, rtol=1e-5
        )
    for name in ("AutoDrop, paper", "AutoDrop, scaled"):
        own = train(
            problem, "adam", (found[name].rate,), (0, 1, 2), autodrop_name=name,
            epochs=epochs,
        )  # fmt: skip
        np.testing.assert_allclose(found[name].outcomes.losses, own.losses, rtol=1e-5)


@pytest.mark.slow
def test_schedules_are_refined_by_other_seeds(small):
    problem, options, found = small
    seeds = [seed + FIRST_RUN for seed in (0, 1, 2, 7, 8)]
    _, norms = train_and_record(
        problem, "adam", found[LINEAR].rate, seeds,
        factors=found[LINEAR].factors, epochs=options["epochs"],
    )  # fmt: skip
    for factors, own in zip(found[REFINED].factors, norms[:3], strict=True):
        schedule = refine_schedule(own, optimizer="adam")
        np.testing.assert_allclose(schedule(np.arange(80)), factors, rtol=1e-5)


def test_no_seed_has_two_parts():
    first = {seed + FIRST_RUN for seed in (*REPORTED, *TUNED)}
    assert len({*REPORTED, *TUNED, *first}) == 30
    assert len(REPORTED) == 10


def test_the_best_rate():
    losses = np.array([[3.0, 1.0, np.nan], [3.0, 2.0, 0.0]])
    outcomes = Outcomes(losses, losses, losses)
    assert best_rate((0.1, 0.2, 0.3), outcomes) == 0.2


def test_statistics():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    assert standard_error(values) == pytest.approx(stats.sem(values))
    expected = stats.ttest_1samp(values, 0).statistic
    assert t_statistic(values) == pytest.approx(expected)
    assert t_limit(10) == pytest.approx(2.262, abs=1e-3)


def row(**fields) -> ConvexRow:
    usual = ConvexRow(
        optimizer="adam", data="iris", schedule="cosine", rate=0.1, at_edge=False,
        n=10, excess_loss=0.1, excess_loss_se=0.01, error=5.0, error_se=0.5,
        ratio=1.0, t=0.0, drops=0.0, peak=0.0,
    )  # fmt: skip
    return usual._replace(**fields)


def test_a_summary_over_data_sets():
    found = [
        row(ratio=0.5, t=-3.0),
        row(ratio=2.0, t=2.3),
        row(ratio=0.25, t=-2.2),
        row(ratio=9.0, t=9.0, schedule="1/t"),
        row(ratio=9.0, t=9.0, optimizer="sgd"),
    ]
    summary = summarise(found, "adam", "cosine")
    assert summary.geometric_mean == pytest.approx(0.25 ** (1 / 3))
    logs = np.log([0.5, 2, 0.25])
    assert summary.t == pytest.approx(stats.ttest_1samp(logs, 0).statistic)
    assert (summary.better, summary.worse) == (1, 1)


def test_rows_are_relative_to_linear_decay():
    inputs = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    problem = Problem(inputs, np.array([0, 1, 0], np.int32), 2)
    lowest = minimum(problem)
    drops = np.array([[1], [2]])

    def tuned(rate, losses, factors):
        losses = lowest + np.array(losses)[:, None]
        return Tuned(rate, Outcomes(losses, 100 * losses, drops), factors)

    found = {
        LINEAR: tuned(0.1, [0.1, 0.3], np.array([[1.0, 0.0]])),
        REFINED: tuned(0.5, [0.1, 0.2], np.array([[0.5, 1, 0, 0], [1, 0, 0, 0]])),
        "AutoDrop, paper": tuned(0.2, [0.5, 0.7], np.ones((1, 0))),
    }
    linear, refined, dropped = rows(
        "sgd", "three", problem, found, rates=(0.1, 0.2, 0.5)
    )
    assert (linear.ratio, linear.t, linear.at_edge) == (1, 0, True)
    assert refined.ratio == pytest.approx(0.75)
    assert refined.t == pytest.approx(-1)
    assert refined.excess_loss == pytest.approx(0.15)
    assert refined.excess_loss_se == pytest.approx(0.05)
    assert refined.error == pytest.approx(100 * lowest + 15)
    assert refined.peak == 0.125
    assert (dropped.drops, dropped.at_edge, dropped.n) == (1.5, False, 2)


def test_csv_and_table(tmp_path):
    found = [
        row(
            data=data,
            schedule=s,
            ratio=1 + i / 10,
            t=3.0 * (i - 4),
            at_edge=i == 2,
            drops=float(i),
        )
        for data in ("iris", "wine")
        for i, s in enumerate(COMPARED)
    ]
    write_csv(tmp_path / "rows.csv", ConvexRow._fields, found)
    assert read_csv(tmp_path / "rows.csv", ConvexRow) == found
    text = convex_tables(found)
    assert "| iris | **1.00**- | 1.10- | 1.20- | 1.30- | 1.40 | 1.50+ |" in text
    assert "| better, worse | 2, 0 |" in text


def test_the_command_says_what_there_is():
    with pytest.raises(SystemExit, match="unknown data set 'mnist': choose from iris"):
        main(["study", "convex", "mnist"])
    with pytest.raises(SystemExit, match="unknown optimizer 'lion'"):
        main(["study", "convex", "--optimizer", "lion"])


def test_the_results_are_complete():
    found = read_csv(pages.STUDIES / "convex.csv", ConvexRow)
    keys = [(r.optimizer, r.data, r.schedule) for r in found]
    assert keys == [(o, d, s) for o in MAKERS for d in PROBLEMS for s in COMPARED]
    assert {r.n for r in found} == {10}
    assert {r.rate for r in found} <= {float(f"{rate:.6g}") for rate in RATES}
