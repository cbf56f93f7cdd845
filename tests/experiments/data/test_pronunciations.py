"""The pronouncing dictionary."""

import itertools

import numpy as np
import pytest

from experiments.data.pronunciations import VOWELS, load_pronunciations
from experiments.errors import UserError

# Lines of the real file, and what is to be made of them.
LEFT_OUT = [
    "'bout B AW1 T",
    "a.m. EY2 EH1 M",
    "inquire(2) IH1 N K W AY0 R",
    "aalsmeer AA1 L S M IH1 R # two stresses",
    "hmm HH M",
    "incomprehensible IH2 N K AA2 M P R AH0 HH EH1 N S AH0 B AH0 L",
]
KEPT = {
    "inquire IH2 N K W AY1 R": "AY",
    "aalto AA1 L T OW2 # name, finnish": "AA",
    "refurbishing R IH0 F ER1 B IH0 SH IH0 NG": "ER",
    "oil OY1 L # with EH1 in the note": "OY",
    "a AH0 # EY1 is another": None,  # without stress
}


def spelled(rows):
    """Letters of each row; "." where there is none."""
    letters = ".abcdefghijklmnopqrstuvwxyz"
    return ["".join(letters[i] for i in row) for row in np.asarray(rows)]


def write(folder, lines):
    (folder / "cmudict.dict").write_text("\n".join([*lines, ""]))
    return folder


def everything(dataset):
    """Spelling -> vowel, of both parts."""
    inputs = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    words = spelled(inputs)
    assert len(set(words)) == len(words)
    return dict(zip(words, (VOWELS[i] for i in labels), strict=True))


def test_lines_of_the_file(tmp_path):
    dataset = load_pronunciations(write(tmp_path, [*LEFT_OUT, *KEPT]))
    assert everything(dataset) == {
        ".....inquire": "AY",
        ".......aalto": "AA",
        "refurbishing": "ER",
        ".........oil": "OY",
    }
    assert dataset.train_inputs.dtype == dataset.train_labels.dtype == np.int32
    assert dataset.num_classes == 15


@pytest.fixture
def families(tmp_path):
    """60 families of 1 to 5 words: the beginnings are five letters."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(60):
        beginning = f"{chr(97 + i // 26)}{chr(97 + i % 26)}bcd"
        endings = ["", "e", "s", "ing", "able"][: rng.integers(1, 6)]
        lines += [f"{beginning}{ending} EH1 D" for ending in endings]
    return write(tmp_path, lines)


def test_families_stay_together(families):
    dataset = load_pronunciations(families)
    train = [word.lstrip(".")[:5] for word in spelled(dataset.train_inputs)]
    test = [word.lstrip(".")[:5] for word in spelled(dataset.test_inputs)]
    assert len(test) == round(0.1 * (len(train) + len(test)))
    # The border may go through one family.
    assert len(set(train) & set(test)) <= 1
    found = train + test
    changes = sum(a != b for a, b in itertools.pairwise(found))
    assert changes == 59
    assert found != sorted(found)


def test_train_size_takes_the_first(families):
    whole, some = (
        load_pronunciations(families),
        load_pronunciations(families, train_size=20),
    )
    np.testing.assert_array_equal(some.train_inputs, whole.train_inputs[:20])
    np.testing.assert_array_equal(some.train_labels, whole.train_labels[:20])
    np.testing.assert_array_equal(some.test_inputs, whole.test_inputs)


@pytest.mark.parametrize("train_size", [0, 5])
def test_words_that_are_not_there(tmp_path, train_size):
    folder = write(tmp_path, KEPT)
    with pytest.raises(UserError, match=f"from 1 to the 4 words .* got {train_size}"):
        load_pronunciations(folder, train_size=train_size)


def test_another_file(tmp_path):
    with pytest.raises(UserError, match=r"the 0 words that .*cmudict\.dict has"):
        load_pronunciations(write(tmp_path, ["no,dictionary"]))


def test_the_real_dictionary():
    dataset = load_pronunciations()
    assert dataset.train_inputs.shape[1] == dataset.test_inputs.shape[1] == 12
    assert len(dataset.train_labels) > 100_000
    assert len(dataset.test_labels) > 11_000
    # Every vowel is there, none is more than a sixth.
    for labels in (dataset.train_labels, dataset.test_labels):
        shares = np.bincount(labels, minlength=15) / len(labels)
        assert 0.005 < shares.min() < shares.max() < 1 / 6
    assert everything(dataset)[".....inquire"] == "AY"
