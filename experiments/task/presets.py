"""Presets: configurations with what they are for and what they gave.

`python -m experiments run PRESET` runs one; what follows on the line changes it.
"""

import textwrap
from dataclasses import dataclass, fields

from experiments.schedules import SCHEDULES
from experiments.schedules.autodrop import AutoDrop
from experiments.schedules.constant import Constant
from experiments.schedules.cosine import Cosine
from experiments.schedules.cosine_restarts import CosineRestarts
from experiments.schedules.cyclical import Cyclical
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.epoch_autodrop_linear_decay import EpochAutoDropLinearDecay
from experiments.schedules.hypergradient import Hypergradient
from experiments.schedules.linear_decay import LinearDecay
from experiments.schedules.matched_exponential import MatchedExponential
from experiments.schedules.multistep import Multistep
from experiments.schedules.one_cycle import OneCycle
from experiments.schedules.plateau import Plateau
from experiments.schedules.refined import Refined
from experiments.schedules.scaled_epoch_autodrop import ScaledEpochAutoDrop
from experiments.schedules.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from experiments.schedules.warmup_stable_decay import WarmupStableDecay
from experiments.schedules.windowed_autodrop import WindowedAutoDrop
from experiments.task.config import RunConfig


@dataclass(frozen=True)
class Preset:
    """A configuration and what is known about it, in sentences."""

    config: RunConfig
    what: str
    why: str
    expected: str = "see docs/evidence.md."
    time: str = "as long as the others."

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


def summary(documented: object) -> str:
    """Returns the first line of a docstring."""
    return (documented.__doc__ or "").partition("\n")[0]


_NOTED: dict[str, Preset] = {
    "demo_autodrop": Preset(
        config=RunConfig(
            schedule=EpochAutoDrop(
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
            " after epochs 23 or 24, then 51 to 53, on one seed 41 and 58; on the"
            " digits, whose angles scatter by 5 degrees, 3 or 4 drops, the first"
            " after 23 to 25."
        ),
        time="Fashion-MNIST 40 s, digits 10 s, on two CPU cores.",
    ),
    "windowed_autodrop": Preset(
        config=RunConfig(
            schedule=WindowedAutoDrop(window_steps=None),
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
        config=RunConfig(schedule=WindowedAutoDrop()),
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
        config=RunConfig(schedule=MatchedExponential()),
        what="The rate times 0.95 every 13 windows of which a run has 1200.",
        why=(
            "What windowed AutoDrop would be if it did not look: the spacing of the"
            " drops in the paper's figures, fixed in advance."
        ),
        expected="Fashion-MNIST 10.12 ± 0.14, digits 2.13 ± 0.20 (as above).",
        time="As above.",
    ),
    "autodrop": Preset(
        config=RunConfig(schedule=AutoDrop()),
        what="AutoDrop as it comes: it is told a rate and nothing else.",
        why="The library's default, which the demo sets beside two that know the end.",
    ),
    "linear_decay": Preset(
        config=RunConfig(schedule=LinearDecay()),
        what="The rate linearly to zero over the run.",
        why="The schedule to beat where the length of the run is known.",
        expected="Fashion-MNIST 9.73 ± 0.16, digits 2.09 ± 0.12 (as above).",
        time="As above.",
    ),
    "cosine": Preset(
        config=RunConfig(schedule=Cosine()),
        what="The rate to zero along half a cosine.",
        why="The usual schedule where the length of the run is known.",
    ),
    "cosine_restarts": Preset(
        config=RunConfig(schedule=CosineRestarts()),
        what="Three cosine decays, of 1, 2 and 4 sevenths of the run.",
        why=(
            "Warm restarts: each decay is twice as long as the last, and the run ends"
            " with the end of one."
        ),
    ),
    "cyclical": Preset(
        config=RunConfig(schedule=Cyclical()),
        what="Six triangles from a quarter of the rate, each half as high as the last.",
        why=(
            "The policy triangular2, with what its author advises: the lower rate a"
            " quarter to a third of the upper, half a cycle of two to ten epochs: five,"
            " where there are 60."
        ),
    ),
    "one_cycle": Preset(
        config=RunConfig(schedule=OneCycle()),
        what="Up from a 25th of the rate in 30 % of the run, then down to nearly zero.",
        why=(
            "The same peak as all others have, though its author would look for a"
            " higher one."
        ),
    ),
    "warmup_stable_decay": Preset(
        config=RunConfig(schedule=WarmupStableDecay()),
        what="5 % of the run up, 75 % at the rate, 20 % down to zero.",
        why="Only the last fifth has to know when the run ends.",
    ),
    "plateau": Preset(
        config=RunConfig(schedule=Plateau(), validation_fraction=0.1),
        what="The rate times 0.2 after 5 epochs without a lower validation loss.",
        why=(
            "What people use who do not want to say when to drop. A tenth of the"
            " training examples is held out for it."
        ),
    ),
    "multistep_held_out": Preset(
        config=RunConfig(schedule=Multistep(), validation_fraction=0.1),
        what="As multistep, without the tenth that is held out for plateau.",
        why="What the examples are worth that plateau does without.",
    ),
    "refined": Preset(
        config=RunConfig(schedule=Refined()),
        what="The schedule refined by the gradient norms of a first run.",
        why=(
            "What its authors set above linear decay. Name the first run, one with"
            " --record-gradient-norms, by --schedule.first-run."
        ),
    ),
    "epoch_autodrop_linear_decay": Preset(
        config=RunConfig(schedule=EpochAutoDropLinearDecay()),
        what="As scaled_epoch_autodrop, times linear decay to zero.",
        why="Whether AutoDrop adds to the best schedule that knows the length.",
    ),
    "hypergradient": Preset(
        config=RunConfig(schedule=Hypergradient()),
        what="The rate changed in each step by 0.001 times its own gradient.",
        why=(
            "Its authors' additive rule from the recipe's rate, with the factor of"
            " their experiments: 1e-3, and 1e-7 where the optimizer is AdamW."
        ),
    ),
    "schedule_free_sgd": Preset(
        config=RunConfig(schedule=ScheduleFreeSGD()),
        what="Schedule-free SGD at ten times the rate, with 5 % of warm-up.",
        why="Needs no length of the run. Its authors advise 10 to 50 times the rate.",
    ),
    "schedule_free_adamw": Preset(
        config=RunConfig(schedule=ScheduleFreeAdamW()),
        what="Schedule-free AdamW at its own rate of 0.0025, with 5 % of warm-up.",
        why="Needs no length of the run; the rate is its authors' default.",
    ),
    "scaled_epoch_autodrop": Preset(
        config=RunConfig(schedule=ScaledEpochAutoDrop()),
        what="epoch_autodrop with settings for 60 epochs scaled to the run's length.",
        why=(
            "One rule for all workloads: times scale with the epochs, the threshold in"
            " degrees per epoch inversely. 60 epochs give those of `demo_autodrop`."
        ),
    ),
    "scaled_epoch_autodrop_no_averaging": Preset(
        config=RunConfig(
            schedule=ScaledEpochAutoDrop(averaging=False),
        ),
        what="As scaled_epoch_autodrop; a drop leaves the parameters as they are.",
        why="What the averaging is worth.",
    ),
    "scaled_epoch_autodrop_authors": Preset(
        config=RunConfig(
            schedule=ScaledEpochAutoDrop(anchor="before_averaging"),
        ),
        what="As scaled_epoch_autodrop; the step after an averaging holds the jump.",
        why="What the authors' program does, where the paper does otherwise.",
    ),
    "scaled_epoch_autodrop_at_once": Preset(
        config=RunConfig(
            schedule=ScaledEpochAutoDrop(drop_delay=1, averaging=False),
        ),
        what="As scaled_epoch_autodrop; at the trigger, without delay and averaging.",
        why="The method without its second half.",
    ),
    "multistep": Preset(
        config=RunConfig(schedule=Multistep()),
        what="The rate times 0.2 after 30, 60 and 80 % of the epochs.",
        why="The usual hand-made schedule, which AutoDrop is meant to replace.",
        expected="Fashion-MNIST 9.97 ± 0.09, digits 2.09 ± 0.12 (as above).",
        time="As above.",
    ),
    "constant": Preset(
        config=RunConfig(schedule=Constant()),
        what="The initial rate throughout.",
        why="What the drops are worth.",
        expected="Fashion-MNIST 13.36 ± 0.60, digits 5.29 ± 1.08 (as above).",
        time="As above.",
    ),
    "paper_autodrop": Preset(
        config=RunConfig(schedule=EpochAutoDrop()),
        what="AutoDrop with the settings that the paper recommends.",
        why=(
            "They are for 11 million parameters and 200 epochs. Here 0.01 degrees is"
            " far below the noise of the angles, and the delay of 20 epochs is a third"
            " of the run."
        ),
        expected=(
            "Fashion-MNIST 12.68 ± 1.50: a chance drop on one seed of five, and else"
            " the same as constant. Digits 5.29 ± 1.08, the same as constant."
            " (As above.)"
        ),
        time="As above.",
    ),
}

# Every schedule with its defaults, unless there is more to say of it.
PRESETS: dict[str, Preset] = _NOTED | {
    name: Preset(RunConfig(schedule=kind()), what=summary(kind), why="Its defaults.")
    for name, kind in SCHEDULES.items()
    if name not in _NOTED
}
