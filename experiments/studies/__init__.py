"""Questions, each with the runs that answer it. One entry is one study."""

from experiments.studies.comparison import COMPARISON
from experiments.studies.demo_seeds import DEMO_STUDY
from experiments.studies.equal_terms import EVIDENCE
from experiments.studies.papers import PAPERS
from experiments.studies.study import Study
from experiments.studies.tuning import TUNING_STUDY

STUDIES: dict[str, Study] = {
    "demo": DEMO_STUDY,
    "tuning": TUNING_STUDY,
    **EVIDENCE,
    **COMPARISON,
    **PAPERS,
}
