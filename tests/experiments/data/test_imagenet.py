"""ImageNet's folders of JPEGs: what is found, decoded, cropped and in which order."""

import itertools
import math

import numpy as np
import pytest
from PIL import Image

from experiments.data import crops
from experiments.data.image_folder import find_images
from experiments.data.imagenet import load_imagenet
from experiments.errors import DataUnavailableError, UserError

SIZE = 28


@pytest.fixture(scope="module")
def tree(tmp_path_factory, write_image_tree):
    """21 training images (7, 6 and 8 of three classes) and 7 test images; do not
    change it."""
    return write_image_tree(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture
def own_tree(tmp_path, write_image_tree):
    """A smaller one to change."""
    return write_image_tree(tmp_path / "own", train=(2, 2), test=(1, 1))


@pytest.fixture(scope="module")
def dataset(tree):
    return load_imagenet(tree, SIZE)


def take(batches, count):
    return list(itertools.islice(batches, count))


def assert_equal(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(batch["labels"], other["labels"])
        np.testing.assert_array_equal(batch["inputs"], other["inputs"])


def test_what_is_found(dataset, tree):
    assert dataset.train.classes == ("n00000000", "n00000001", "n00000002")
    assert np.bincount(dataset.train_labels).tolist() == [7, 6, 8]
    assert np.bincount(dataset.test_labels).tolist() == [2, 3, 2]
    for images in (dataset.train, dataset.test):
        for file, label in zip(images.files, images.labels, strict=True):
            assert file.startswith(f"{images.classes[label]}/")
            assert (images.root / file).is_file()
    assert str(dataset) == f"ImageNet (21 train, 7 test) from {tree}"


def test_a_folder_is_named_by_the_environment(tree, monkeypatch):
    monkeypatch.setenv("IMAGENET_DIR", str(tree))
    assert len(load_imagenet().train) == 21
    assert load_imagenet().input_shape == (224, 224, 3)
    monkeypatch.delenv("IMAGENET_DIR")
    with pytest.raises(DataUnavailableError, match="--data-dir or IMAGENET_DIR"):
        load_imagenet()


def test_other_files_are_passed_over(own_tree):
    (own_tree / "train" / "n00000000" / "notes.txt").write_text("not an image")
    (own_tree / "train" / "LICENSE").write_text("not a class")
    assert len(load_imagenet(own_tree).train) == 4


def test_a_missing_part(own_tree):
    (own_tree / "val").rename(own_tree / "validation")
    message = r"no folder .*/val: the images are expected.*/val/CLASS/NAME\.JPEG"
    with pytest.raises(UserError, match=message):
        load_imagenet(own_tree)


def test_images_that_are_not_sorted_into_classes(own_tree):
    for path in list((own_tree / "val").glob("*/*")):
        path.rename(own_tree / "val" / path.name)
        path.parent.rmdir()
    with pytest.raises(UserError, match="val holds no folder: sort its images"):
        load_imagenet(own_tree)


def test_a_class_that_the_test_lacks(own_tree):
    (own_tree / "val" / "n00000001").rename(own_tree / "val" / "n00000007")
    message = "val lacks the class n00000001 and has the unknown class n00000007"
    with pytest.raises(UserError, match=message):
        load_imagenet(own_tree)


def test_a_class_without_images(own_tree):
    for path in (own_tree / "train" / "n00000001").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"train/n00000001 holds no JPEG"):
        find_images(own_tree / "train")


@pytest.mark.parametrize("kept", [0, 20, 400])
def test_a_damaged_image(own_tree, kept):
    dataset = load_imagenet(own_tree, SIZE)
    path = own_tree / "train" / "n00000001" / "train_1_0.JPEG"
    assert len(path.read_bytes()) > 400
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"train_1_0\.JPEG cannot be decoded"):
        take(dataset.train_batches(0, 4), 1)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_every_image_becomes_rgb(tmp_path, mode):
    Image.new("RGB", (30, 20), (200, 100, 50)).convert(mode).save(tmp_path / "a.jpg")
    image = crops.decode(tmp_path / "a.jpg")
    assert (image.mode, image.size) == ("RGB", (30, 20))


def ramp(width, height):
    """Red is the column, green the row, each in the middle of its pixel."""
    values = np.zeros((height, width, 3), np.uint8)
    values[..., 0], values[..., 1] = np.arange(width), np.arange(height)[:, None]
    return Image.fromarray(values)


def test_the_centre_crop_is_that_of_the_recipe():
    # 200 x 100 to 64 x 32, of which the middle 28 x 28 is taken: a pixel there is 3.125
    # of the image's; the first one's centre lies at (18.5, 2.5) of 64 x 32.
    result = crops.centre_crop(ramp(200, 100), 32, 28)
    assert result.shape == (28, 28, 3)
    first = np.array([18.5, 2.5]) * 3.125 - 0.5
    last = first + 27 * 3.125
    np.testing.assert_allclose(result[0, 0, :2], first, atol=1)
    np.testing.assert_allclose(result[27, 27, :2], last, atol=1)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (224, 9999)])
def test_the_centre_crop_of_any_size_and_shape(size):
    assert crops.centre_crop(Image.new("RGB", size), 256, 224).shape == (224, 224, 3)


def test_random_boxes_are_those_of_the_recipe():
    rng = np.random.default_rng(0)
    boxes = np.array([crops.random_box(500, 400, rng) for _ in range(4000)])
    left, top, right, bottom = boxes.T
    assert left.min() == 0
    assert top.min() == 0
    assert right.max() == 500
    assert bottom.max() == 400
    width, height = right - left, bottom - top
    share = width * height / (500 * 400)
    assert 0.078 < share.min() < 0.1
    assert 0.9 < share.max() <= 1
    aspect = np.log(width / height)
    assert math.log(3 / 4) - 0.02 < aspect.min() < math.log(0.77)
    assert math.log(1.3) < aspect.max() < math.log(4 / 3) + 0.02
    # Uniform up to half of the area, where every box fits.
    inside = np.histogram(share, bins=[0.08, 0.22, 0.36, 0.5])[0]
    assert inside.min() > 0.9 * inside.max()


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [(1000, 10, (493, 0, 506, 10)), (10, 1000, (0, 493, 10, 506))],
)
def test_where_no_random_box_fits(width, height, box):
    found = crops.random_box(width, height, np.random.default_rng(0))
    assert found == box


def test_a_random_crop_is_the_box_at_the_size_mirrored_or_not():
    image = ramp(200, 100)
    mirrored = 0
    for seed in range(60):
        left, top, right, bottom = crops.random_box(
            200, 100, np.random.default_rng(seed)
        )
        result = crops.random_resized_crop(image, 20, np.random.default_rng(seed))
        assert (result.shape, result.dtype) == ((20, 20, 3), np.uint8)
        columns = result[10, :, 0].astype(int)
        mirrored += (was_mirrored := columns[0] > columns[-1])
        if was_mirrored:
            result = result[:, ::-1]
        centres = left + (right - left) * (np.arange(20) + 0.5) / 20 - 0.5
        np.testing.assert_allclose(result[10, 2:-2, 0], centres[2:-2], atol=1)
        centres = top + (bottom - top) * (np.arange(20) + 0.5) / 20 - 0.5
        np.testing.assert_allclose(result[2:-2, 10, 1], centres[2:-2], atol=1)
    assert 18 <= mirrored <= 42  # three standard deviations about 30


def test_an_epoch_has_every_image_once_but_those_that_fill_no_batch(dataset):
    # 21 images, batches of 4: 20 of them. A batch's images are told by their labels.
    epochs = [take(dataset.train_batches(0, 4), 15)[n : n + 5] for n in (0, 5, 10)]
    left_out = []
    for epoch in epochs:
        labels = np.concatenate([batch["labels"] for batch in epoch])
        missing = np.array([7, 6, 8]) - np.bincount(labels, minlength=3)
        assert sorted(missing) == [0, 0, 1]
        left_out.append(tuple(labels))
    assert len(set(left_out)) == 3


def test_order_and_crops_follow_the_seed(dataset):
    first = take(dataset.train_batches(0, 4), 7)
    assert_equal(take(dataset.train_batches(0, 4), 7), first)
    other = take(dataset.train_batches(1, 4), 7)
    assert not np.array_equal(other[0]["inputs"], first[0]["inputs"])
    # The next seed does not start with this one's second epoch.
    assert not np.array_equal(other[0]["labels"], first[5]["labels"])
    assert first[0]["inputs"].shape == (4, SIZE, SIZE, 3)
    assert first[0]["inputs"].dtype == np.uint8
    assert first[0]["labels"].dtype == np.int32


def test_an_image_is_cropped_anew_in_each_epoch(own_tree):
    for path in list((own_tree / "train").glob("*/*"))[1:]:
        if path.parent.name == "n00000000":
            path.unlink()
    dataset = load_imagenet(own_tree, SIZE)
    classes = len(dataset.train)
    seen = [
        batch["inputs"][list(batch["labels"]).index(0)]
        for batch in take(dataset.train_batches(0, classes), 4)
    ]
    for one, other in itertools.combinations(seen, 2):
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("at", [0, 3, 5, 8])
def test_a_saved_iterator_goes_on_at_its_batch(dataset, at):
    whole = take(dataset.train_batches(3, 4), 11)
    iterator = dataset.train_batches(3, 4)
    take(iterator, at)
    state = iterator.get_state()
    again = dataset.train_batches(3, 4)
    again.set_state(state)
    assert_equal(take(again, 11 - at), whole[at:])


def test_processes_share_each_batch_in_order(dataset):
    whole = take(dataset.train_batches(0, 4), 7)
    halves = [take(dataset.train_batches(0, 4, index, 2), 7) for index in (0, 1)]
    joined = [
        {name: np.concatenate([a[name], b[name]]) for name in a}
        for a, b in zip(*halves, strict=True)
    ]
    assert_equal(joined, whole)
    # A state of one process is good for any number of them.
    iterator = dataset.train_batches(0, 4)
    take(iterator, 6)
    second = dataset.train_batches(0, 4, 1, 2)
    second.set_state(iterator.get_state())
    assert_equal(take(second, 1), halves[1][6:])


def test_the_test_has_every_image_once_in_order(dataset):
    batches = list(dataset.in_order(dataset.test, 4))
    assert [len(batch["labels"]) for batch in batches] == [4, 4]
    labels = np.concatenate([batch["labels"] for batch in batches])
    assert labels.tolist() == [0, 0, 1, 1, 1, 2, 2, -1]
    inputs = np.concatenate([batch["inputs"] for batch in batches])
    for file, found in zip(dataset.test.files, inputs, strict=False):
        image = crops.decode(dataset.test.root / file)
        np.testing.assert_array_equal(found, crops.centre_crop(image, 32, 28))
    shares = [list(dataset.in_order(dataset.test, 4, index, 2)) for index in (0, 1)]
    np.testing.assert_array_equal(shares[1][1]["labels"], [2, -1])


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.9])
def test_what_is_held_out_is_of_every_class(tmp_path, write_image_tree, fraction):
    tree = write_image_tree(tmp_path, train=(20, 20, 40), test=(1, 1, 1))
    whole = load_imagenet(tree, SIZE)
    dataset = whole.hold_out(fraction)
    assert dataset.validation is not None
    parts = dataset.train.files, dataset.validation.files
    assert sorted(parts[0] + parts[1]) == sorted(whole.train.files)
    counts = np.bincount(dataset.validation.labels, minlength=3)
    np.testing.assert_allclose(counts, fraction * np.array([20, 20, 40]), atol=1)
    for images in (dataset.train, dataset.validation):
        for file, label in zip(images.files, images.labels, strict=True):
            assert file.startswith(images.classes[label])
    assert f"{len(parts[0])} train, {len(parts[1])} validation, 3 test" in str(dataset)


def test_a_fraction_that_leaves_nothing(dataset):
    assert dataset.hold_out(0.0) is dataset
    for fraction, parts in ((0.01, "21 and 0"), (0.99, "0 and 21")):
        with pytest.raises(UserError, match=f"{fraction} divides 21 .* into {parts}"):
            dataset.hold_out(fraction)
