"""Texts cut into windows."""

import numpy as np
import pytest

from experiments.data.text import load_pydoc, text_dataset
from experiments.errors import UserError

# 20 characters, of which the last 2 are the test part.
TEXT = "abacabadabacabadabXc"


def test_every_character_but_the_first_is_a_label_once():
    dataset = text_dataset("Letters", "a test", "abcabcabca" * 4, length=3)
    train = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1] * 4
    # 36 characters: 11 windows of 3, and 2 successors left over.
    np.testing.assert_array_equal(dataset.train_inputs.ravel(), train[:33])
    np.testing.assert_array_equal(dataset.train_labels.ravel(), train[1:34])
    # The last 4: "abca", one window.
    np.testing.assert_array_equal(dataset.test_inputs, [[1, 2, 3]])
    np.testing.assert_array_equal(dataset.test_labels, [[2, 3, 1]])
    assert dataset.train_inputs.shape == dataset.train_labels.shape == (11, 3)
    dtypes = {array.dtype for array in dataset.arrays.values() if array is not None}
    assert dtypes == {np.dtype(np.int32)}
    assert dataset.num_classes == 4
    assert str(dataset) == "Letters (11 train, 1 test) from a test"


def test_vocabulary_is_that_of_the_training_part():
    dataset = text_dataset("Letters", "a test", TEXT, length=1)
    assert dataset.num_classes == 1 + 4
    np.testing.assert_array_equal(dataset.train_inputs[:4], [[1], [2], [1], [3]])
    np.testing.assert_array_equal(dataset.test_inputs, [[0]])
    np.testing.assert_array_equal(dataset.test_labels, [[3]])


@pytest.mark.parametrize(
    ("length", "message"),
    [
        pytest.param(2, "test part of Letters has 2 characters", id="test"),
        pytest.param(18, "training part of Letters has 18 characters", id="training"),
    ],
)
def test_too_short_a_text(length, message):
    with pytest.raises(UserError, match=rf"{message}.* {length + 1} or more"):
        text_dataset("Letters", "a test", TEXT, length=length)


def test_chosen_windows_are_spread_over_the_training_part():
    whole = text_dataset("Letters", "a test", TEXT, length=1)
    some = text_dataset("Letters", "a test", TEXT, length=1, train_size=5)
    # 17 windows: every third or fourth.
    chosen = np.array([0, 3, 6, 10, 13])
    np.testing.assert_array_equal(some.train_inputs, whole.train_inputs[chosen])
    np.testing.assert_array_equal(some.train_labels, whole.train_labels[chosen])
    np.testing.assert_array_equal(some.test_inputs, whole.test_inputs)
    assert some.num_classes == whole.num_classes


def test_more_windows_than_there_are():
    with pytest.raises(UserError, match=r"17 windows .* train_size=18\. Take fewer"):
        text_dataset("Letters", "a test", TEXT, length=1, train_size=18)


def test_help_topics():
    dataset = load_pydoc(length=64, train_size=100)
    assert dataset.train_inputs.shape == dataset.train_labels.shape == (100, 64)
    assert dataset.test_inputs.shape[1] == 64
    assert len(dataset.test_inputs) > 300
    assert 80 < dataset.num_classes < 200
    again = load_pydoc(length=64, train_size=100)
    np.testing.assert_array_equal(dataset.train_labels, again.train_labels)


def test_help_topics_of_the_test_part_are_new():
    dataset = load_pydoc(length=64)
    train = np.asarray(dataset.train_inputs)
    train = "".join(map(chr, train.ravel()))
    test = ["".join(map(chr, row)) for row in np.asarray(dataset.test_inputs)]
    found = sum(window in train for window in test)
    # Each minor version of Python has a text of its own: 5 of 588 windows in 3.11, 3 of
    # 625 in 3.12, 7 of 652 in 3.13; with what has come before it is one in twelve.
    assert found < 0.02 * len(test)
