"""The README's rows on equations 7 and 11 and Theorems 2 and 3 have our numbers."""

from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "experiments" / "theory" / "README.md"


@pytest.fixture(scope="module")
def row():
    """The one line of the README that starts so."""
    lines = README.read_text().splitlines()

    def find(start: str) -> str:
        (line,) = [line for line in lines if line.startswith(f"| {start}")]
        return line

    return find


def listed(values, digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def test_momentum(row, committed):
    line = row("equation 7")
    same = [x["difference"] for x in committed("momentum") if x["same"]]
    other = [x["difference"] for x in committed("momentum") if not x["same"]]
    assert "apart by less than 1e-6 of" in line  # rounding is each machine's own
    assert len(same) == 3
    assert max(same) < 1e-6
    assert "apart by {:.2f} and {:.2f}".format(*other) in line


def test_theorem_2(row, committed):
    rows = committed("theorem2")
    line = row("Theorem 2, equation 10: a bound")
    assert f"all {len(rows)} cases" in line
    near = [x["ratio"] for x in rows if x["problem"] == "quadratics"]
    far = [x["ratio"] for x in rows if x["problem"] != "quadratics"]
    assert f"{min(near):.1f} to {max(near):.1f} on the quadratics" in line
    assert f"{min(far):.0f} to {max(far):.0f} on the digits" in line

    line = row("Theorem 2, equation 10: log n")
    own = [x for x in rows if x["sequence"] == 2021]
    under = max(1 - x["printed_bound"] / x["conditions_bound"] for x in own)
    assert f"{100 * under:.0f} % under" in line
    closest = min(x["printed_bound"] / x["smallest_gap"] for x in own)
    assert f"{closest:.1f} times lower" in line

    line = row("Theorem 2: constants")
    held = {(x["sequence"], x["version"]): x for x in committed("theorem2_conditions")}
    cases = [held[2021, 2021], held[2024, 2024], held["geometric", 2024]]
    assert all(x["hold"] for x in cases)
    assert (
        "kappa_1 {:.3g}, {:.3g}, {:.3g},".format(*(x["kappa_1"] for x in cases)) in line
    )
    assert (
        "kappa_2 {:.3g}, {:.3g}, {:.3g} |".format(*(x["kappa_2"] for x in cases))
        in line
    )


def test_geometric_rates(committed):
    (line,) = [x for x in README.read_text().splitlines() if "Enough is a" in x]
    gaps = {
        x["sequence"]: x["smallest_gap"]
        for x in committed("theorem2")
        if (x["problem"], x["beta"]) == ("logistic", 0)
    }
    assert f"at {gaps['geometric']:.4f} after" in line
    assert f"at {gaps[2021]:.4f} with the sequence of 2021" in line
    assert f"at {gaps[2024]:.4f} with that of 2024" in line
    slopes = [
        x["slope"]
        for x in committed("theorem3")
        if x["sequence"] == "geometric, falling" and x["seeds"]
    ]
    assert f"{min(slopes):.2f} to {max(slopes):.2f}, the flattest" in line


def test_algorithm_2(row, committed):
    rows = committed("algorithm2")

    def kappa_1(sequence, version):
        return {
            x["rates"]: x["kappa_1"]
            for x in rows
            if (x["sequence"], x["version"]) == (sequence, version)
        }

    line = row("Theorem 3: Algorithm 2 with a fixed tau")
    high = kappa_1("2/3, fixed high", 2021)
    assert ", ".join(f"{value:.3g}" for value in high.values()) in line
    middle = kappa_1("2/3, fixed middle", 2021)
    assert f"{middle[100]:.2f} at n = 100 and {middle[1000]:.1f} at n = 1000" in line
    assert f"stays at {kappa_1('1, falling', 2024)[100_000]:.3f}" in line

    line = row("2024: kappa_2")
    claims = committed("algorithm2_kappa2")
    small = [x for x in claims if x["needed"] > x["claimed"]]
    rounded = [x for x in small if x["needed_without_rounding"] <= x["claimed"]]
    assert f"in {len(small)} of {len(claims)} cases, {len(rounded)} of them" in line
    assert {x["tau_0"] for x in small if x["gamma"] <= 1} == {5.0}
    assert all(x["needed"] <= x["mended"] for x in claims)


def test_theorem_3(row, committed):
    rows = committed("theorem3")

    def slopes(sequence, problem, name="slope"):
        return [
            x[name]
            for x in rows
            if (x["sequence"], x["problem"]) == (sequence, problem)
        ]

    low = "2/3, fixed low"
    line = row("Theorem 3: the gap")
    assert f"{listed(slopes(low, 'noisy quadratic'), 2)} where noise" in line
    assert f"{listed(slopes(low, 'worst start'), 2)} where the start" in line
    rate = slopes(low, "noisy quadratic", "rate_slope")[0]
    sums = slopes(low, "noisy quadratic", "sum_slope")[0]
    assert f"slope is {rate:.2f}, that of 1 / (sum of the rates) {sums:.2f};" in line

    line = row("Theorem 3 for n")
    high = "2/3, fixed high"
    for value, problem in [("-0.67", "noisy quadratic"), ("-0.34", "worst start")]:
        assert {f"{x:.2f}" for x in slopes(high, problem)} == {value}
        assert value in line
    bounds = slopes(high, "noisy quadratic", "bound_slope")
    assert {f"{x:.2f}" for x in bounds} == {"-0.33"}

    line = row("Theorem 3 on stochastic runs")
    assert f"hinge: {listed(slopes(low, 'hinge'), 2)} " in line
    assert f"regression {listed(slopes(low, 'logistic'), 2)}," in line
    ends = zip(
        *(slopes(low, "hinge", x) for x in ("low", "slope", "high")), strict=True
    )
    assert all(b - a < 0.02 and c - b < 0.02 for a, b, c in ends)


def test_equation_11(row, committed):
    rows = [x for x in committed("equation11") if x["rate"] < 0.3]

    def column(workload, model, name):
        return [
            x[name] for x in rows if (x["workload"], x["model"]) == (workload, model)
        ]

    fashion, digits = "fashion_mnist_mlp", "digits_mlp"
    line = row("equation 11 describes")
    assert f"off by {listed(column(fashion, 'each rate', 'rmse'), 1)} degrees" in line
    assert f"all rates: {listed(column(fashion, 'all rates', 'rmse'), 1)}." in line
    assert f"differ by {listed(column(fashion, 'each rate', 'noise'), 1)} deg" in line
    for model, text in [("each rate", "Digits: "), ("all rates", ", and ")]:
        errors = column(digits, model, "rmse")
        assert f"{text}{min(errors):.1f} to {max(errors):.1f}" in line

    line = row("equation 11, P2 ii")
    assert listed(column(fashion, "each rate", "level"), 1) in line
    a, b, _, d = column(digits, "each rate", "level")
    assert f"{a:.1f}, {b:.1f}, not known, {d:.1f}" in line
    assert column(digits, "each rate", "level_error")[2] > 5
    first, second = column(fashion, "each rate", "last")[:2]
    assert f"{first:.1f} at 0.1 and {second:.1f} at 0.03" in line
    assert f"{first - second:.1f} degrees for a factor of 3" in line
    assert f"would have {first - (90 + 0.3 * (first - 90)):.1f}" in line
    order = {(x["workload"], x["model"]): x for x in committed("equation11_order")}
    assert not order[fashion, "each rate"]["rise_with_the_rate"]
    assert order[fashion, "last 10 epochs"]["rise_with_the_rate"]
