"""The README's table and text have the numbers of the committed results."""

import re
from pathlib import Path

import pytest

README = (
    Path(__file__).parents[3] / "experiments" / "theory" / "README.md"
).read_text()


@pytest.fixture
def says():
    """Asserts that a line of the README has all of the texts."""

    def check(start: str, *texts: str):
        (line,) = [x for x in README.splitlines() if x.startswith(start)]
        for text in texts:
            # Not within a longer number.
            assert re.search(rf"(?<![\d.]){re.escape(text)}(?![\d])", line), text

    return check


@pytest.fixture
def levels(committed):
    return {(x["spectrum"], x["rate"]): x for x in committed("figure1")}


def column(levels, spectrum, name):
    return [x[name] for (s, _), x in levels.items() if s == spectrum]


def test_p1(says, levels):
    times = [int(x) for x in column(levels, "linear", "saturation_time")]
    slowdowns = [x["slowdown"] for x in levels.values() if x["slowdown"] > 0]
    says(
        "| P1:",
        "{}, {}, {} and {}".format(*times),
        f"{int(levels['harmonic', 0.001]['saturation_time'])} of the 4000",
        f"{min(slowdowns):.1f} times slower",
        f"{levels['linear', 0.001]['loss_at_saturation']:.1f} times",
        f"{levels['harmonic', 0.001]['loss_at_saturation']:.0f} times",
    )
    largest = max(column(levels, "linear", "loss_at_saturation"))
    assert largest == levels["linear", 0.001]["loss_at_saturation"]


def test_p2(says, levels):
    angles = {
        s: [f"{x:.1f}" for x in column(levels, s, "mean_angle")]
        for s in ("linear", "narrow", "harmonic")
    }
    says(
        "| P2 i:",
        " and ".join(angles["linear"][:2]),
        " and ".join(angles["harmonic"][:2]),
        angles["narrow"][0],
        f"{levels['narrow', 0.06]['mean_angle'] - 120:.1f} degrees over",
    )
    says(
        "| P2 ii:",
        ", ".join(angles["linear"]),
        f"{levels['harmonic', 0.001]['final_loss']:.1f} at 0.001",
        f"{levels['harmonic', 0.01]['final_loss']:.1f} at 0.01",
    )
    times = (
        ", ".join(str(int(x)) for x in column(levels, s, "saturation_time"))
        for s in angles
    )
    says("| P2 iii:", *times)
    low = [levels[s, 0.001] for s in angles]
    says(
        "| P2 iv:",
        *(angles[s][-1] for s in angles),
        *(f"{x['limit_angle']:.2f}" for x in low[:2]),
        "{:.1f}, {:.1f} and {:.1f} degrees".format(
            *(x["mean_angle"] - 90 for x in low)
        ),
    )


def test_theorem1(says, committed):
    (row,) = committed("theorem1_summary")
    says(
        "| Theorem 1, equation 5",
        f"{100 * row['worst_inner_error']:.1f} %",
        f"{row['converged']:.0f} cells of {row['cells']:.0f}",
        f"{row['models']:.0f} models",
        f"{round(row['worst_inner_elsewhere'], -3):,.0f}".replace(",", " "),
    )
    says("| Theorem 1, equation 6", f"{row['worst_angle_error']:.2f} degrees")

    rows = {x["dimension"]: x for x in committed("theorem1_bias")}
    bias = {n: x["mean_angle"] - x["limit_angle"] for n, x in rows.items()}
    x = rows[20]
    says(
        "| equation 6 again",
        f"{-bias[5]:.1f} degrees lower at n = 5",
        f"(effective dimension {rows[5]['effective_dimension']:.1f})",
        f"{-bias[10]:.1f} at n = 10",
        f"{-bias[200]:.2f} at n = 200",
        f"{x['predicted_bias']:.2f} against {bias[20]:.2f} ± {x['half_width']:.2f}",
    )
    cells = {(x["spectrum"], x["noise"], x["rate"]): x for x in committed("theorem1")}
    one, two = (cells["narrow", 1, rate] for rate in (0.06, 0.08))
    says(
        "| Theorem 1: C* in",
        f"{one['angle'] + one['angle_error']:.1f} degrees at 1.2",
        f"{two['angle'] + two['angle_error']:.1f} at 1.6",
        f"{two['angle'] - 120:.1f} degrees over",
    )


@pytest.fixture
def outcomes(committed):
    return {(x["floor"], x["method"]): x for x in committed("figure3")}


def test_figure3(says, outcomes, committed):
    own = outcomes[0.001, "AutoDrop"]
    allowed = outcomes[0.001, "best constant allowed, 0.001"]["final_loss"]
    best = outcomes[0.001, "best constant, 0.00044"]["final_loss"]
    says(
        "| Figure 3:",
        f"{own['final_loss']:.2f} ± {own['half_width']:.2f}",
        f"n = {own['runs']:.0f}",
        f"0.001, ends at {allowed:.2f}",
        f"0.00044, at {best:.2f}",
        f"by {allowed - own['final_loss']:.2f} within",
        f"by {own['final_loss'] - best:.2f} beyond",
    )
    differences = [outcomes[f, "AutoDrop - fresh noise"] for f in (0.001, 0)]
    says(
        "| Section 3:",
        *(
            f"{-x['final_loss']:.2f} ± {x['half_width']:.2f} higher"
            for x in differences
        ),
    )
    rows = committed("figure3_waits")
    rates = [x["firing_rate"] for x in rows]
    mean = sum(rates) / len(rates)
    predicted = sum(x["predicted_firing_rate"] for x in rows) / len(rows)
    says(
        "| the windowed test",
        f"in {100 * mean:.1f} % of the iterations",
        f"every {1 / mean:.0f};",
        f"predict {100 * predicted:.1f} %",
        ", ".join(f"{x['mean_wait']:.0f}" for x in rows),
    )


def test_what_the_signal_adds(says, outcomes, committed):
    rows = committed("figure3_waits")
    mean = sum(x["firing_rate"] for x in rows) / len(rows)
    late = [100 * x["within_window"] for x in rows[3:]]
    says("- The window", f"{rows[1]['sd_angle']:.1f} degrees", f"{100 * mean:.1f} %")
    says(
        "- The reset",
        "{:.1f} degrees after".format(rows[1]["reset"]),
        ", ".join(f"{x['reset']:.1f}" for x in rows[2:5]),
        f"{100 * rows[1]['within_window']:.0f} % for the second",
        f"{100 * rows[2]['within_window']:.0f} % for the third",
        f"{min(late):.0f} to {max(late):.0f} %",
        f"gives {100 * (1 - (1 - mean) ** 20):.0f} %",
    )
    for floor, start, methods in (
        (0.001, "- With the floor", ("coin", "clock, 80", "clock, 300")),
        (0, "- Without", ("coin", "clock, 56", "clock, 80", "clock, 300")),
    ):
        own = outcomes[floor, "AutoDrop"]
        says(
            start,
            f"AutoDrop {own['final_loss']:.2f} ± {own['half_width']:.2f}",
            *(f"{outcomes[floor, name]['final_loss']:.2f}" for name in methods),
        )
    first, second, third = rows[:3]
    says(
        "What the signal does",
        f"wait of {second['mean_wait']:.0f} iterations",
        f"gives {second['chance_wait']:.0f},",
        f"{third['mean_wait']:.0f} against {third['chance_wait']:.0f} at the third",
        f"window: {first['mean_wait']:.0f} iterations",
        f"make {first['chance_wait']:.0f}",
        f"some {round(2 * (3 * rows[-1]['sd_angle']) ** 2, -2):.0f} angles",
    )


def test_effective_dimensions(says, levels):
    says(
        "Three spectra",
        *(
            f"{min(sizes):.{digits}f} to {max(sizes):.{digits}f}"
            for digits, s in ((0, "linear"), (0, "narrow"))
            for sizes in [column(levels, s, "effective_dimension")]
        ),
    )
