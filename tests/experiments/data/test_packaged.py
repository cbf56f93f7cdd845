"""Files of installed packages."""

import importlib
import re

import pytest

from experiments.data.packaged import find_packaged
from experiments.errors import DataUnavailableError, UserError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package "stones", version 1.2, with one file."""
    (tmp_path / "stones-1.2.dist-info").mkdir()
    (tmp_path / "stones-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: stones\nVersion: 1.2\n"
    )
    (tmp_path / "stones" / "data").mkdir(parents=True)
    (tmp_path / "stones" / "data" / "all.csv").write_text("a\n1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def test_a_file_of_a_package(installed):
    file, source = find_packaged("stones/data/all.csv", "stones", "Stones")
    assert file == installed / "stones" / "data" / "all.csv"
    assert source == "stones 1.2"


def test_the_users_folder_comes_first(installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    (folder / "all.csv").write_text("a\n2\n")
    found = find_packaged("stones/data/all.csv", "stones", "Stones", folder)
    assert found == (folder / "all.csv", str(folder))


def test_a_folder_without_the_file(installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    message = f"Stones named by --data-dir, {re.escape(str(folder))}, lacks all.csv"
    with pytest.raises(UserError, match=message):
        find_packaged("stones/data/all.csv", "stones", "Stones", folder)


def test_a_package_that_is_not_installed():
    message = "package no-such, .*`pip install no-such`.* holds all.csv with --data-dir"
    with pytest.raises(DataUnavailableError, match=message):
        find_packaged("stones/data/all.csv", "no-such", "Stones")


def test_a_package_without_the_file(installed):
    message = r"stones 1\.2 .* without stones/data/some.csv: .*--force-reinstall"
    with pytest.raises(DataUnavailableError, match=message):
        find_packaged("stones/data/some.csv", "stones", "Stones")
