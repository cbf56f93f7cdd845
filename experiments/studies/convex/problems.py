"""Logistic regression on real data that comes with scikit-learn and statsmodels."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sklearn.datasets
from scipy import optimize, special
from sklearn.decomposition import PCA
from statsmodels import datasets

MAX_EXAMPLES = 2000


class Problem(NamedTuple):
    """Multinomial logistic regression: f(W) = mean cross-entropy of softmax(x W)."""

    inputs: np.ndarray  # shape (examples, features), float64, the last feature is 1
    labels: np.ndarray  # shape (examples,), int32, from 0 to classes - 1
    classes: int

    def losses(self, weights: np.ndarray) -> np.ndarray:
        """Returns f in float64, for weights of shape (..., features, classes)."""
        logits = self.inputs @ weights.astype(np.float64)
        own = logits[..., np.arange(len(self.labels)), self.labels]
        return (special.logsumexp(logits, axis=-1) - own).mean(axis=-1)

    def errors(self, weights: np.ndarray) -> np.ndarray:
        """Share of the examples that are classified wrongly, in percent."""
        logits = self.inputs @ weights.astype(np.float64)
        return 100 * (logits.argmax(axis=-1) != self.labels).mean(axis=-1)


def minimum(problem: Problem) -> float:
    """The smallest loss, or the limit that the loss comes down to."""
    shape = problem.inputs.shape[1], problem.classes
    one_hot = np.eye(problem.classes)[problem.labels]

    def loss_and_slope(flat):
        weights = flat.reshape(shape)
        residuals = special.softmax(problem.inputs @ weights, axis=-1) - one_hot
        slope = problem.inputs.T @ residuals / len(problem.labels)
        return float(problem.losses(weights)), slope.ravel()

    result = optimize.minimize(
        loss_and_slope,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": 20_000, "maxfun": 50_000, "ftol": 0.0, "gtol": 1e-8, "maxcor": 50
        },
    )  # fmt: skip
    return float(result.fun)


def separable(inputs: np.ndarray, labels: np.ndarray) -> bool:
    """Whether some weights give every example's own class the highest logit.

    Args:
      inputs: shape (examples, features); with a feature that is 1.
      labels: shape (examples,), whole numbers from 0.
    """
    # <x_i, w_{y_i} - w_c> >= 1 for all examples i and all classes c other than y_i.
    classes = labels.max() + 1
    rows = []
    for other in range(classes):
        mine = np.flatnonzero(labels != other)
        row = np.zeros((len(mine), classes, inputs.shape[1]))
        row[np.arange(len(mine)), labels[mine]] = inputs[mine]
        row[:, other] = -inputs[mine]
        rows.append(row.reshape(len(mine), -1))
    bounds = np.concatenate(rows)
    result = optimize.linprog(
        np.zeros(bounds.shape[1]),
        A_ub=-bounds,
        b_ub=-np.ones(len(bounds)),
        bounds=(None, None),
    )
    return result.status == 0


def _standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def _problem(features: np.ndarray, labels: np.ndarray, components=None) -> Problem:
    """Standardised, with an intercept, at most so many rows; perhaps by components."""
    features = np.asarray(features, np.float64)
    classes, labels = np.unique(np.asarray(labels), return_inverse=True)
    if len(labels) > MAX_EXAMPLES:
        rows = np.random.default_rng(0).permutation(len(labels))[:MAX_EXAMPLES]
        features, labels = features[rows], labels[rows]
    features = features[:, features.std(axis=0) > 0]
    inputs = _standardised(features)
    if components is not None:
        inputs = PCA(components, svd_solver="full").fit_transform(inputs)
        inputs = _standardised(inputs)
    inputs = np.append(inputs, np.ones((len(inputs), 1)), axis=1)
    return Problem(inputs, labels.astype(np.int32), len(classes))


def _from_sklearn(name: str, components: int | None = None) -> Problem:
    load = getattr(sklearn.datasets, f"load_{name}")
    features, labels = load(return_X_y=True)
    return _problem(features, labels, components)


def _from_statsmodels(name: str, label: str, features: str) -> Problem:
    table = getattr(datasets, name).load_pandas().data
    values = table[features.split()].to_numpy()
    return _problem(values, table[label].to_numpy())


def _from_counts(name: str, count: str, features: str) -> Problem:
    """What is counted, as happened or did not."""
    table = getattr(datasets, name).load_pandas().data
    values = table[features.split()].to_numpy()
    return _problem(values, table[count].to_numpy() > 0)


# The numbers of components are found by `separable`; a test does so again.
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "iris": functools.partial(_from_sklearn, "iris"),
    "wine": functools.partial(_from_sklearn, "wine", components=4),
    "breast cancer": functools.partial(_from_sklearn, "breast_cancer", components=10),
    "digits": functools.partial(_from_sklearn, "digits", components=10),
    "anes96": functools.partial(
        _from_statsmodels, "anes96", "PID", "logpopul selfLR age educ income"
    ),
    "fair": functools.partial(
        _from_counts,
        "fair",
        "affairs",
        "rate_marriage age yrs_married children religious educ occupation"
        " occupation_husb",
    ),
    "spector": functools.partial(_from_statsmodels, "spector", "GRADE", "GPA TUCE PSI"),
    "ccard": functools.partial(
        _from_statsmodels, "ccard", "OWNRENT", "AVGEXP AGE INCOME INCOMESQ"
    ),
    "modechoice": functools.partial(
        _from_statsmodels, "modechoice", "choice", "ttme invc invt gc hinc psize"
    ),
    "randhie": functools.partial(
        _from_counts,
        "randhie",
        "mdvis",
        "lncoins idp lpi fmde physlm disea hlthg hlthf hlthp",
    ),
}
