"""Lab notes: configurations with what they are for and what they gave.

`python -m experiments train PRESET` runs one; what follows on the line changes it.
"""

import textwrap
from dataclasses import dataclass, fields

from experiments.config import RunConfig
from experiments.options import AutoDropOptions, WindowedAutoDropOptions


@dataclass(frozen=True)
class Preset:
    """A configuration and what is known about it, in sentences."""

    config: RunConfig
    what: str
    why: str
    expected: str
    time: str

    def __str__(self) -> str:
        notes = [field.name for field in fields(self) if field.name != "config"]
        return "\n".join(
            textwrap.fill(
                getattr(self, name),
                width=80,
                initial_indent=f"{name + ':':<10}",
                subsequent_indent=" " * 10,
            )
            for name in notes
        )


PRESETS: dict[str, Preset] = {
    "demo_autodrop": Preset(
        config=RunConfig(
            schedule="autodrop",
            autodrop=AutoDropOptions(
                threshold=0.4, max_threshold=0.4, drop_delay=5, window=12
            ),
        ),
        what="AutoDrop with settings tuned for runs of 60 epochs.",
        why=(
            "The recommended settings hardly ever drop in a run this short. The"
            " rule for these, fixed before the first run and applied to seeds 10 to"
            " 14 with no regard to the test error: 2 to 4 drops in 60 epochs, the"
            " first not before the angular velocity has saturated, none while it"
            " still rises. A window of 12 makes the change (w_t - w_{t-12}) / 12. On"
            " Fashion-MNIST the angles of a saturated phase scatter by 1 degree,"
            " this change by 0.12, and it is 1 to 4 while they rise: 0.4 is far from"
            " both. Windows of 8 and 10 with 0.5 broke the rule: w passes its old"
            " level on its way up again and triggers. The threshold is not raised at"
            " drops, since the noise is not smaller after them. A delay of 5 leaves"
            " time for a third phase."
        ),
        expected=(
            "Fashion-MNIST 10.03 ± 0.20, digits 2.00 ± 0.16 (final test error in %,"
            " mean and standard deviation of seeds 0 to 4). Drops on Fashion-MNIST"
            " after epochs 23 or 24, then 51 to 53, but 41 and 58 on seed 4; on the"
            " digits, whose angles scatter by 5 degrees, 3 or 4 drops, the first"
            " after 23 to 25."
        ),
        time="Fashion-MNIST 40 s, digits 10 s, on two CPU cores.",
    ),
    "windowed_autodrop": Preset(
        config=RunConfig(
            schedule="windowed_autodrop",
            windowed_autodrop=WindowedAutoDropOptions(window_steps=None),
        ),
        what="The UAI paper's method, its windows scaled to the length of the run.",
        why=(
            "It drops about every 12 windows whatever happens, so that the number of"
            " windows sets the final rate. The rule, fixed before the first run: 1200"
            " windows, as in the paper's runs on CIFAR; 23 steps each on Fashion-MNIST,"
            " 2 on the digits."
        ),
        expected=(
            "Fashion-MNIST 10.12 ± 0.20, digits 2.04 ± 0.24 (as above); 101 to 108"
            " drops, one every 11.8 windows. An exponential decay with as many drops"
            " gave 9.96 ± 0.15 and 2.09 ± 0.30: no sign that the angle decides"
            " anything."
        ),
        time="As above.",
    ),
    "windowed_autodrop_64": Preset(
        config=RunConfig(schedule="windowed_autodrop"),
        what="The UAI paper's method with its windows of 64 steps.",
        why=(
            "They are for longer runs: 70 to 105 drops, one every 12 to 14 windows, are"
            " some 70000 steps. Here there are 28080, or 2520."
        ),
        expected=(
            "Fashion-MNIST 10.37 ± 0.23, digits 4.36 ± 1.46 (as above): the digits have"
            " 39 windows, 2 or 3 drops."
        ),
        time="As above.",
    ),
    "exponential": Preset(
        config=RunConfig(schedule="matched_exponential"),
        what="The rate times 0.95 every 13 windows of which a run has 1200.",
        why=(
            "What windowed AutoDrop would be if it did not look: the spacing of the"
            " drops in the paper's figures, fixed in advance."
        ),
        expected="Fashion-MNIST 10.12 ± 0.14, digits 2.13 ± 0.20 (as above).",
        time="As above.",
    ),
    "linear_decay": Preset(
        config=RunConfig(schedule="linear_decay"),
        what="The rate linearly to zero over the run.",
        why="The schedule to beat where the length of the run is known.",
        expected="Fashion-MNIST 9.73 ± 0.16, digits 2.09 ± 0.12 (as above).",
        time="As above.",
    ),
    "multistep": Preset(
        config=RunConfig(schedule="multistep"),
        what="The rate times 0.2 after 30, 60 and 80 % of the epochs.",
        why="The usual hand-made schedule, which AutoDrop is meant to replace.",
        expected="Fashion-MNIST 9.97 ± 0.09, digits 2.09 ± 0.12 (as above).",
        time="As above.",
    ),
    "constant": Preset(
        config=RunConfig(schedule="constant"),
        what="The initial rate throughout.",
        why="What the drops are worth.",
        expected="Fashion-MNIST 13.36 ± 0.60, digits 5.29 ± 1.08 (as above).",
        time="As above.",
    ),
    "paper_autodrop": Preset(
        config=RunConfig(schedule="autodrop"),
        what="AutoDrop with the settings that the paper recommends.",
        why=(
            "They are for 11 million parameters and 200 epochs. Here 0.01 degrees is"
            " far below the noise of the angles, and the delay of 20 epochs is a third"
            " of the run."
        ),
        expected=(
            "Fashion-MNIST 12.68 ± 1.50: a chance drop after epoch 30 on seed 1, and"
            " else the same as constant. Digits 5.29 ± 1.08, the same as constant."
            " (As above.)"
        ),
        time="As above.",
    ),
}
