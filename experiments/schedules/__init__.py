"""Schedules by name: rules for the learning rate, one a file."""

from experiments.schedules.abel import Abel
from experiments.schedules.adam_without_rate import DAdaptAdamW, Prodigy
from experiments.schedules.autodrop import AutoDrop
from experiments.schedules.autodrop_variant import AutoDropVariant
from experiments.schedules.averaged import (
    ConstantAverage,
    CosineAverage,
    InverseSqrtAverage,
    LinearDecayAverage,
    WarmupStableDecayAverage,
)
from experiments.schedules.cocob import Cocob
from experiments.schedules.constant import Constant
from experiments.schedules.cosine import Cosine
from experiments.schedules.cosine_restarts import CosineRestarts
from experiments.schedules.cyclical import Cyclical
from experiments.schedules.distance import Distance
from experiments.schedules.dog import Dog, Dowg
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.epoch_autodrop_linear_decay import EpochAutoDropLinearDecay
from experiments.schedules.fixed_drops import FixedDrops
from experiments.schedules.hypergradient import Hypergradient, HypergradientTimes
from experiments.schedules.linear_decay import LinearDecay
from experiments.schedules.matched_exponential import MatchedExponential
from experiments.schedules.mechanic import Mechanic
from experiments.schedules.momo import Momo
from experiments.schedules.multistep import Multistep
from experiments.schedules.one_cycle import OneCycle
from experiments.schedules.pflug import Pflug
from experiments.schedules.plateau import Plateau
from experiments.schedules.refined import Refined
from experiments.schedules.sasa import Sasa, SasaHalves
from experiments.schedules.scaled_epoch_autodrop import ScaledEpochAutoDrop
from experiments.schedules.schedule import Schedule
from experiments.schedules.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from experiments.schedules.warmup_stable_decay import WarmupStableDecay
from experiments.schedules.windowed_autodrop import WindowedAutoDrop

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "autodrop": AutoDrop,
    "autodrop_variant": AutoDropVariant,
    "fixed_drops": FixedDrops,
    "epoch_autodrop": EpochAutoDrop,
    "scaled_epoch_autodrop": ScaledEpochAutoDrop,
    "windowed_autodrop": WindowedAutoDrop,
    "epoch_autodrop_linear_decay": EpochAutoDropLinearDecay,
    "constant_average": ConstantAverage,
    "inverse_sqrt_average": InverseSqrtAverage,
    "linear_decay_average": LinearDecayAverage,
    "cosine_average": CosineAverage,
    "warmup_stable_decay_average": WarmupStableDecayAverage,
    "multistep": Multistep,
    "matched_exponential": MatchedExponential,
    "linear_decay": LinearDecay,
    "cosine": Cosine,
    "cosine_restarts": CosineRestarts,
    "cyclical": Cyclical,
    "one_cycle": OneCycle,
    "warmup_stable_decay": WarmupStableDecay,
    "refined": Refined,
    "plateau": Plateau,
    "hypergradient": Hypergradient,
    "hypergradient_times": HypergradientTimes,
    "pflug": Pflug,
    "distance": Distance,
    "sasa": Sasa,
    "sasa_halves": SasaHalves,
    "abel": Abel,
    "schedule_free_sgd": ScheduleFreeSGD,
    "schedule_free_adamw": ScheduleFreeAdamW,
    "prodigy": Prodigy,
    "dadapt_adamw": DAdaptAdamW,
    "dog": Dog,
    "dowg": Dowg,
    "mechanic": Mechanic,
    "momo": Momo,
    "cocob": Cocob,
}


def name_of(schedule: Schedule) -> str:
    """Returns the name of a schedule's class."""
    return next(name for name, kind in SCHEDULES.items() if kind is type(schedule))
