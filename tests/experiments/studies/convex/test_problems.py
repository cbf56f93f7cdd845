"""The data sets, their losses and their minima."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from experiments.studies.convex.problems import PROBLEMS, minimum, separable

# Features with the intercept, examples, classes.
SIZES = {
    "iris": (5, 150, 3),
    "wine": (5, 178, 3),
    "breast cancer": (11, 569, 2),
    "digits": (11, 1797, 10),
    "anes96": (6, 944, 7),
    "fair": (9, 2000, 2),
    "spector": (4, 32, 2),
    "ccard": (5, 72, 2),
    "modechoice": (7, 840, 2),
    "randhie": (10, 2000, 2),
}


@pytest.fixture(scope="module")
def problems():
    return {name: load() for name, load in PROBLEMS.items()}


@pytest.mark.parametrize("name", PROBLEMS)
def test_sizes_and_standardisation(problems, name):
    problem = problems[name]
    features, examples, classes = SIZES[name]
    assert problem.inputs.shape == (examples, features)
    assert problem.classes == classes
    assert set(problem.labels) == set(range(classes))
    np.testing.assert_array_equal(problem.inputs[:, -1], 1.0)
    np.testing.assert_allclose(problem.inputs[:, :-1].mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(problem.inputs[:, :-1].std(axis=0), 1, rtol=1e-10)


@pytest.mark.parametrize("name", PROBLEMS)
def test_none_is_separable(problems, name):
    assert not separable(problems[name].inputs, problems[name].labels)


@pytest.mark.parametrize(("name", "components"), [("wine", 5), ("breast_cancer", 30)])
def test_with_more_components_some_are(name, components):
    from experiments.studies.convex.problems import _from_sklearn

    problem = _from_sklearn(name, components)
    assert separable(problem.inputs, problem.labels)


def test_separable():
    line = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert separable(line, np.array([0, 0, 1]))
    assert separable(line, np.array([0, 1, 2]))
    assert not separable(line, np.array([0, 1, 0]))


def test_losses_and_errors_of_many_weights_at_once(problems):
    problem = problems["anes96"]
    weights = np.random.default_rng(0).normal(size=(2, 3, 6, 7))
    losses, errors = problem.losses(weights), problem.errors(weights)
    for index in np.ndindex(2, 3):
        logits = problem.inputs @ weights[index]
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert losses[index] == pytest.approx(log_loss(problem.labels, shares))
        wrong = np.mean(shares.argmax(axis=1) != problem.labels)
        assert errors[index] == pytest.approx(100 * wrong)


@pytest.mark.parametrize("name", ["fair", "spector", "anes96", "breast cancer"])
def test_the_minimum_is_that_of_scikit_learn(problems, name):
    problem = problems[name]
    model = LogisticRegression(
        C=np.inf, tol=1e-10, max_iter=20_000, fit_intercept=False
    )
    model.fit(problem.inputs, problem.labels)
    loss = log_loss(problem.labels, model.predict_proba(problem.inputs))
    assert minimum(problem) == pytest.approx(loss, abs=1e-6)
