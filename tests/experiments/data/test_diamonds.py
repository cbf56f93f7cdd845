"""The table of diamonds."""

import numpy as np
import pytest

from experiments.data.diamonds import CLARITIES, COLOURS, CUTS, NUMBERS, load_diamonds
from experiments.errors import UserError

HEADER = '"carat","cut","color","clarity","depth","table","price","x","y","z"'
ROW = '0.23,"Ideal","E","SI2",61.5,55,{},3.95,3.98,2.43'


def write(folder, lines, header=HEADER):
    (folder / "diamonds.csv").write_text("\n".join([header, *lines, ""]))
    return folder


@pytest.fixture
def stones():
    """40 different ones: numbers, places of cut, colour and clarity."""
    rng = np.random.default_rng(0)
    numbers = rng.permuted(np.tile(np.arange(1, 41), (7, 1)), axis=1).T
    grades = [rng.integers(0, count, 40) for count in (5, 7, 8)]
    return numbers, *grades


@pytest.fixture
def folder(tmp_path, stones):
    lines = []
    for (carat, *rest), cut, colour, clarity in zip(*stones, strict=True):
        grades = CUTS[cut], COLOURS[colour], CLARITIES[clarity]
        quoted = ",".join(f'"{grade}"' for grade in grades)
        lines.append(f"{carat},{quoted},{','.join(map(str, rest))}")
    # The first three stand there twice.
    return write(tmp_path, [*lines, *lines[:3]])


def test_every_stone_is_in_one_part_once(folder, stones):
    dataset = load_diamonds(folder)
    assert dataset.train_inputs.shape == (32, 19)
    assert dataset.test_inputs.shape == (8, 19)
    assert dataset.num_classes == 8
    _, cuts, colours, clarities = stones
    grades = np.concatenate(
        [np.eye(5)[cuts], np.eye(7)[colours], clarities[:, None]], axis=1
    )
    found = [
        np.concatenate([inputs[:, 7:], labels[:, None]], axis=1)
        for inputs, labels in [
            (dataset.train_inputs, dataset.train_labels),
            (dataset.test_inputs, dataset.test_labels),
        ]
    ]
    assert sorted(map(tuple, np.concatenate(found))) == sorted(map(tuple, grades))


def test_numbers_by_their_ranks_among_the_training_rows(folder, stones):
    dataset = load_diamonds(folder)
    train, test = np.asarray(dataset.train_inputs), np.asarray(dataset.test_inputs)
    for column, name in enumerate(NUMBERS):
        values = np.sort(train[:, column])
        # Different ones, symmetrical, from the lowest to the highest that there are.
        assert np.all(np.diff(values) > 0), name
        np.testing.assert_allclose(values, -values[::-1], atol=1e-5, err_msg=name)
        np.testing.assert_allclose(values[[0, -1]], [-5.2, 5.2], atol=0.01)
        # A test row's number lies between its neighbours', or is cut off at the ends.
        assert np.all(np.abs(test[:, column]) <= values[-1]), name
    again = load_diamonds(folder)
    np.testing.assert_array_equal(again.train_inputs, train)


@pytest.mark.parametrize(
    ("line", "header", "message"),
    [
        pytest.param(ROW.format("cheap"), HEADER, "'cheap'", id="number"),
        pytest.param(ROW.format(1).replace("SI2", "SI4"), HEADER, "index", id="grade"),
        pytest.param(ROW.format(1), HEADER.replace("cut", "sort"), "'cut'", id="names"),
        pytest.param("0.23,Ideal", HEADER, "NoneType", id="short"),
    ],
)
def test_another_table(tmp_path, line, header, message):
    write(tmp_path, [ROW.format(326), line], header)
    with pytest.raises(UserError, match=f"diamonds.csv is not .*{message}.* Take "):
        load_diamonds(tmp_path)


def test_the_real_table():
    dataset = load_diamonds()
    assert dataset.train_inputs.shape == (43035, 19)
    assert dataset.test_inputs.shape == (10759, 19)
    assert dataset.train_inputs.dtype == np.float32
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32
    # ggplot2's help: 53940 stones, J the worst colour and D the best, cut from fair to
    # ideal, clarity from I1 to IF; most are ideal, G and SI1.
    inputs = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    assert inputs[:, 7:12].sum(axis=0).argmax() == CUTS.index("Ideal")
    assert inputs[:, 12:].sum(axis=0).argmax() == COLOURS.index("G")
    assert np.bincount(labels).argmax() == CLARITIES.index("SI1")
    # Parts of the same table: equal shares of the clarities, but for chance.
    shares = [
        np.bincount(part, minlength=8) / len(part)
        for part in (dataset.train_labels, dataset.test_labels)
    ]
    assert np.max(np.abs(shares[0] - shares[1])) < 0.02
