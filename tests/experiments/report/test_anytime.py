"""Each method at the rate that its other seeds choose, worked out by hand."""

from experiments.report.anytime import (
    StoppedRun,
    at_own_rate,
    methods_table,
    own_rates_table,
    rivals_table,
    summary_table,
)
from experiments.report.autodrop_parts import (
    change_table,
    pair_table,
    rows_of_look,
    settings_table,
)

# At 0.1 and 0.2, seeds 0 to 2. Seed 0 does worst where the others do best.
OURS = {0.1: (9.0, 4.0, 5.0), 0.2: (5.0, 6.0, 7.0)}
RIVAL = {0.1: (8.0, 8.0, 7.0), 0.2: (9.0, 9.0, 9.0)}


def by_seed(errors):
    return {rate: dict(enumerate(of_rate)) for rate, of_rate in errors.items()}


def test_a_seed_has_no_say_in_its_own_rate():
    # Means of the others at 0.1, 0.2: 4.5, 6.5 of seed 0; 7, 6 of 1; 6.5, 5.5 of 2.
    assert at_own_rate(by_seed(OURS)) == {0: (0.1, 9.0), 1: (0.2, 6.0), 2: (0.2, 7.0)}


def test_of_equal_rates_the_lower_is_taken():
    # 10 and 12 wrong of 450, and 11 twice: equal but for the digits that are kept.
    errors = {0.1: (0.0, 2.22222, 2.66667), 0.2: (9.0, 2.44444, 2.44444)}
    assert at_own_rate(by_seed(errors))[0] == (0.1, 0.0)


def test_a_seed_that_lacks_rates_has_no_say_and_gets_what_the_others_choose():
    errors = by_seed(OURS)
    errors[0.1][3] = 8.5  # means of the others: 6 at both, of which the lower is taken
    errors[0.2][4] = 1.0
    assert at_own_rate(errors) == at_own_rate(by_seed(OURS)) | {3: (0.1, 8.5)}


def test_one_seed_has_no_rate_of_its_own():
    assert at_own_rate({0.1: {0: 3.0}}) == {}


def runs(workload, name, errors, drops=0):
    return [
        StoppedRun(workload, name, rate, seed, 1.0, error, 0.0, drops)
        for rate, of_rate in errors.items()
        for seed, error in enumerate(of_rate)
    ]


def test_methods_are_bold_where_better_and_italic_where_worse():
    rows = [
        *runs("digits_mlp", "autodrop", {0.1: (1.0, 2.0, 3.1)}),
        *runs("digits_mlp", "linear_decay", {0.1: (2.0, 3.0, 4.0)}),
        *runs("digits_mlp", "cosine", {0.1: (4.0, 5.0, 6.1)}),
        *runs("diamonds_mlp", "linear_decay", {0.1: (2.0, 3.0, 4.0)}),
    ]
    assert methods_table(rows).splitlines()[2:] == [
        "| `autodrop` | **2.03 ± 1.05** (3) |  |",
        "| `linear_decay` | 3.00 ± 1.00 (3) | 3.00 ± 1.00 (3) |",
        "| `cosine` | *5.03 ± 1.05* (3) |  |",
    ]


THREE = [
    *runs("digits_mlp", "autodrop", {0.1: (1.0, 1.0), 0.2: (4.0, 4.0)}),
    *runs("digits_mlp", "linear_decay", {0.1: (2.0, 3.0), 0.2: (6.0, 6.0)}),
    *runs(
        "digits_mlp",
        "schedule_free_sgd",
        {0.1: (3.0, 5.0), 0.2: (2.0, 4.0), 0.4: (0.5, 1.5)},
    ),
]


def test_the_summary_has_the_error_at_its_best_at_shared_rates_and_at_the_worst():
    *_, line = summary_table(THREE).splitlines()
    assert line == (
        "| `digits_mlp` | 0.1 to 0.2 | 1.00, 2.50, 4.00 | 2.50, 4.25, 6.00 |  |  |"
        " 1.00, 3.50, 4.00 |"
    )


def test_autodrop_is_set_beside_others_at_its_own_rate_and_over_shared_ones():
    own, guess = (rivals_table(THREE, by).splitlines()[-1] for by in ("own", "guess"))
    # 1 - 2 and 1 - 3; 1 - 0.5 and 1 - 1.5. Over 0.1 and 0.2: 2.5 - 4 and 2.5 - 4.5,
    # then 2.5 - 2.5 and 2.5 - 4.5.
    assert own == "| `digits_mlp` |  |  | -1.50 ± 0.71 |  |  | +0.00 ± 0.71 |"
    assert guess == "| `digits_mlp` |  |  | -1.75 ± 0.35 |  |  | -1.00 ± 1.41 |"


def test_a_setting_is_set_beside_the_rule_as_it_was_at_the_same_rate():
    rows = [
        *runs("digits_mlp", "ratio 1.5", {0.1: (1.0, 2.0), 0.2: (4.0, 4.0)}, drops=1),
        *runs("digits_mlp", "power 3", {0.2: (5.0, 7.0)}, drops=2),
    ]
    assert settings_table(rows).splitlines() == [
        "| setting | `digits_mlp` at 0.2 |",
        "| --- | --- |",
        "| ratio 1.5 | 4.00 ± 0.00 (1) |",
        "| power 3 | +2.00 ± 1.41 (2) |",
    ]


def test_three_looks_at_the_settings():
    rows = [
        *runs("digits_mlp", "ratio 1.5", {0.1: (1.0,) * 5, 0.2: (9.0,)}),
        *runs("digits_mlp", "power 3", {0.1: (2.0,) * 3}),
        *runs("digits_mlp", "fixed times", {0.1: (2.0,) * 3}),
        *runs("diamonds_mlp", "ratio 1.5", {0.1 * n: (3.0,) for n in (1, 2, 3, 4)}),
    ]
    looks = {look: rows_of_look(rows, look) for look in ("first", "second", "third")}
    assert looks["first"] == [*rows[:3], *rows[6:9]]
    assert looks["second"] == rows[3:5]
    assert looks["third"] == rows[-3:]


def test_the_change_is_the_mean_over_all_rates():
    rows = [
        *runs("digits_mlp", "ratio 1.5", {0.1: (1.0, 2.0, 3.0), 0.2: (5.0, 5.0, 5.0)}),
        *runs("digits_mlp", "autodrop", {0.1: (1.0, 2.0, 3.0), 0.2: (4.0, 3.0, 4.0)}),
        *runs("digits_mlp", "power 3", {0.1: (9.0, 9.0, 9.0)}),
    ]
    *_, line = change_table(rows).splitlines()
    # Half of -1, -2 and -1, which t = -4 does not tell apart from 0.
    assert line == "| `digits_mlp` | -0.67 ± 0.29 |"


def test_drops_at_fixed_times_are_set_beside_those_by_the_angle():
    rows = [
        *runs("digits_mlp", "autodrop", {0.1: (1.0, 2.0), 0.2: (4.0, 4.0)}, drops=1),
        *runs("digits_mlp", "fixed times", {0.2: (5.0, 7.0)}, drops=2),
    ]
    *_, line = pair_table(rows, "autodrop", "fixed times").splitlines()
    assert line.startswith("| `digits_mlp` | 0.2 | 4.00 ± 0.00 (1, 1) |")
    assert line.endswith("| 6.00 ± 1.41 (2, 2) | +2.00 ± 1.41 |")


def test_own_rates_differences_and_worst_rates():
    rows = [
        StoppedRun("digits_mlp", name, rate, seed, 1.0, error, 0.0, 0)
        for name, errors in {"autodrop": OURS, "linear_decay": RIVAL}.items()
        for rate, of_rate in errors.items()
        for seed, error in enumerate(of_rate)
    ]
    # Differences 9 - 8, 6 - 8, 7 - 7.
    assert own_rates_table(rows).splitlines()[2:] == [
        "| `autodrop` | 1 | 3 | 7.33 ± 1.53 | 0.1, 0.2 | -0.33 ± 1.53"
        " | 6.00 ± 2.65 at 0.1 |",
        "| `linear_decay` | 1 | 3 | 7.67 ± 0.58 | 0.1 |  | 9.00 ± 0.00 at 0.2 |",
    ]


def test_a_stop_without_a_rival_or_with_one_seed_has_no_difference():
    rows = [StoppedRun("digits_mlp", "autodrop", 0.1, 0, 0.125, 3.0, 0.0, 0)]
    _, _, line = own_rates_table(rows).splitlines()
    assert line == "| `autodrop` | 0.125 | 0 | none |  |  | 3.00 at 0.1 |"
