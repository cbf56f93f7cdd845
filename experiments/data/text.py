"""Characters of a text, as windows in which every next character is to be predicted."""

from pathlib import Path
from pydoc_data.topics import topics

import jax.numpy as jnp
import numpy as np

from experiments.data.dataset import Dataset
from experiments.errors import UserError

TEST_PART = 0.1  # of the characters, at the end of the text


def load_pydoc(
    folder: Path | None = None, *, length: int, train_size: int | None = None
) -> Dataset:
    """Loads what Python's own help says about the language: English with examples.

    The text is that of the standard library's ``pydoc_data.topics``: the topics in
    alphabetical order of their names, without the paragraphs that have come before. (A
    fifth of the text is repeated, as topics are parts of others; the test part must not
    be found in the training part.) It is another text in every minor version of Python:
    a run's record has a checksum of the labels.

    Args:
      folder: not used; every Python carries the text.
      length: characters in a window.
      train_size: windows to train on, evenly spaced over the training part; None for
        all.

    Returns:
      The data set; :func:`text_dataset` says how it is cut.

    Raises:
      UserError: there are fewer windows than that.
    """
    del folder
    paragraphs = [p for name in sorted(topics) for p in topics[name].split("\n\n")]
    text = "\n\n".join(dict.fromkeys(paragraphs))
    return text_dataset(
        "Python's help topics", "pydoc_data", text, length=length, train_size=train_size
    )


def text_dataset(
    name: str, source: str, text: str, *, length: int, train_size: int | None = None
) -> Dataset:
    """Cuts a text into the windows of a data set.

    The last tenth of the characters is the test part. Each part is cut into windows of
    ``length`` that do not overlap; a window's labels are its characters' successors, so
    every character but each part's first is predicted once. What does not fill a window
    at a part's end is left out.

    Characters are numbered from 1 in their order in Unicode, those that only the test
    part has are all 0: nothing of the test part gets into the vocabulary.

    Args:
      name: the data set's name, for people.
      source: where the text came from, for people.
      text: the text.
      length: characters in a window.
      train_size: windows to train on, evenly spaced over the training part; None for
        all.

    Returns:
      The data set: inputs and labels of shape (windows, length), int32; the number of
      classes is the vocabulary's size.

    Raises:
      UserError: a part has not a single window, or the training part fewer than
        ``train_size``.
    """
    test_start = len(text) - round(TEST_PART * len(text))
    parts = {"training": text[:test_start], "test": text[test_start:]}
    vocabulary = sorted(set(parts["training"]))
    number = {character: i for i, character in enumerate(vocabulary, start=1)}
    windows = {}
    for part, characters in parts.items():
        if len(characters) < length + 1:
            raise UserError(
                f"The {part} part of {name} has {len(characters)} characters; windows"
                f" of {length} and their successors need {length + 1} or more. Take a"
                " longer text or shorter windows."
            )
        numbers = np.array([number.get(c, 0) for c in characters], np.int32)
        windows[part] = _windows(numbers, length)
    train_inputs, train_labels = windows["training"]
    if train_size is not None:
        if train_size > len(train_inputs):
            raise UserError(
                f"The training part of {name} has {len(train_inputs)} windows of"
                f" {length} characters, fewer than train_size={train_size}. Take fewer"
                " or shorter windows."
            )
        chosen = np.arange(train_size) * len(train_inputs) // train_size
        train_inputs, train_labels = train_inputs[chosen], train_labels[chosen]
    test_inputs, test_labels = windows["test"]
    return Dataset(
        name=name,
        source=source,
        num_classes=len(vocabulary) + 1,
        train_inputs=jnp.asarray(train_inputs),
        train_labels=jnp.asarray(train_labels),
        test_inputs=jnp.asarray(test_inputs),
        test_labels=jnp.asarray(test_labels),
    )


def _windows(numbers: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and labels, each of shape (windows, length)."""
    count = (len(numbers) - 1) // length
    inputs = numbers[: count * length].reshape(count, length)
    labels = numbers[1 : count * length + 1].reshape(count, length)
    return inputs, labels
