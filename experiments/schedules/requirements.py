"""What each schedule must be told in advance, and what it keeps in memory."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A rule for the rate. What it needs is what its defaults do not give."""

    source: str = ""  # authors and year
    total_steps: bool = False  # how long the run will be
    validation: bool = False  # a metric on data that is not trained on
    rate: bool = False  # a learning rate that suits the task
    first_run: bool = False  # a run of the same task before this one
    epoch_length: bool = False  # steps per epoch, or when an epoch ends
    also: str = ""  # anything else
    # Of the parameters, float32, in the state of the whole optimizer; and in that of
    # the optimizer which it is set beside, SGD with momentum or AdamW.
    copies: int = 1
    base_copies: int = 1

    @property
    def needs(self) -> list[str]:
        """What it must be told, in words."""
        told = {
            "a rate": self.rate,
            "total steps": self.total_steps,
            "a validation metric": self.validation,
            "a first run": self.first_run,
            "the epoch length": self.epoch_length,
            self.also: bool(self.also),
        }
        return [name for name, needed in told.items() if needed]

    @property
    def level(self) -> str:
        """The key of LEVELS that says what it needs."""
        counted = ("rate", "validation", "total_steps", "first_run")
        needed = tuple(name for name in counted if getattr(self, name))
        return {names: level for level, names in LEVELS.items()}[needed]

    @property
    def extra_copies(self) -> int:
        """Copies of the parameters beyond those of the optimizer it is set beside."""
        return self.copies - self.base_copies


# By what they need, from nothing on; the epoch's length and what stands in `also` are
# no guesses about the task, and are not counted.
LEVELS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "a rate": ("rate",),
    "a rate, a validation set": ("rate", "validation"),
    "a rate, the total steps": ("rate", "total_steps"),
    "a rate, the total steps, a first run": ("rate", "total_steps", "first_run"),
}

# In the table of their times: what the others are set beside, and itself once more.
BASE, AGAIN = "constant", "constant again"

RULES: dict[str, Rule] = {
    "constant": Rule(rate=True),
    "epoch_autodrop": Rule("Teng et al. 2021", rate=True, epoch_length=True, copies=4),
    "scaled_epoch_autodrop": Rule(
        "Teng et al. 2021", rate=True, total_steps=True, epoch_length=True, copies=4
    ),
    "windowed_autodrop": Rule(
        "Wang et al. 2024", rate=True, total_steps=True, copies=4
    ),
    "epoch_autodrop_linear_decay": Rule(
        rate=True, total_steps=True, epoch_length=True, copies=4
    ),
    "multistep": Rule(rate=True, total_steps=True, also="the milestones"),
    "matched_exponential": Rule(rate=True, total_steps=True),
    "linear_decay": Rule(rate=True, total_steps=True),
    "cosine": Rule("Loshchilov, Hutter 2017", rate=True, total_steps=True),
    "cosine_restarts": Rule("Loshchilov, Hutter 2017", rate=True, total_steps=True),
    "cyclical": Rule("Smith 2017", rate=True, total_steps=True),
    "one_cycle": Rule("Smith, Topin 2018", rate=True, total_steps=True),
    "warmup_stable_decay": Rule("Hu et al. 2024", rate=True, total_steps=True),
    "refined": Rule("Defazio et al. 2023", rate=True, total_steps=True, first_run=True),
    "plateau": Rule(rate=True, validation=True),
    "hypergradient": Rule(
        "Baydin et al. 2018", rate=True, also="the rate of the rate", copies=2
    ),
    "hypergradient_times": Rule(
        "Baydin et al. 2018", rate=True, also="the rate of the rate", copies=2
    ),
    "pflug": Rule("Pflug 1990", rate=True, also="a burn-in", copies=2),
    "distance": Rule("Pesme et al. 2020", rate=True, copies=2),
    "sasa": Rule("Zhang et al. 2020", rate=True),
    "sasa_halves": Rule("Zhang et al. 2020", rate=True),
    "abel": Rule("Lewkowycz 2021", rate=True, total_steps=True, epoch_length=True),
    "schedule_free_sgd": Rule(
        "Defazio et al. 2024",
        rate=True,
        also="a warm-up; other parameters to evaluate than to train",
    ),
    "schedule_free_adamw": Rule(
        "Defazio et al. 2024",
        rate=True,
        also="a warm-up; other parameters to evaluate than to train",
        copies=2,
        base_copies=2,
    ),
    "prodigy": Rule("Mishchenko, Defazio 2023", copies=4, base_copies=2),
    "dadapt_adamw": Rule("Defazio, Mishchenko 2023", copies=3, base_copies=2),
    "dog": Rule("Ivgi et al. 2023", also="an average of the parameters"),
    "dowg": Rule("Khaled et al. 2023"),
    "mechanic": Rule("Cutkosky et al. 2023", copies=2),
    "momo": Rule("Schaipp et al. 2023", also="the loss and a lower bound of it"),
    "cocob": Rule("Orabona, Tommasi 2017", copies=5),
}
