"""Questions, each with the runs that answer it. One entry is one study."""

from experiments.studies.anytime import ANYTIME
from experiments.studies.comparison import COMPARISON
from experiments.studies.demo import DEMO
from experiments.studies.epoch_demo import EPOCH_DEMO
from experiments.studies.equal_terms import EVIDENCE
from experiments.studies.papers import PAPERS
from experiments.studies.study import Study
from experiments.studies.tuning import TUNING_STUDY

STUDIES: dict[str, Study] = {
    "demo": DEMO,
    "epoch_demo": EPOCH_DEMO,
    "tuning": TUNING_STUDY,
    "anytime": ANYTIME,
    **EVIDENCE,
    **COMPARISON,
    **PAPERS,
}
