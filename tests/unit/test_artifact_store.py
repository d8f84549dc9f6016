"""Files of models in a folder: what is refused, and what is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django import conf
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from config import addresses
from mlops import artifact_store


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "models of ours"
    settings.ML_ARTIFACTS = addresses.artifacts(str(folder))
    (tmp_path / "secret").write_bytes(b"not yours")
    return folder


def uri(name: str) -> str:
    return f"{conf.settings.ML_ARTIFACTS}/{name}"


def test_a_file_is_written_whole_and_read_again(root: Path) -> None:
    where = artifact_store.below(uri("7f"), "life left.skops")
    artifact_store.put(where, b"first")
    artifact_store.put(where, b"second")
    assert where.endswith("/models%20of%20ours/7f/life%20left.skops")
    assert artifact_store.get(where) == b"second"
    assert [path.name for path in (root / "7f").iterdir()] == ["life left.skops"]


def test_what_is_not_there_is_missing(root: Path) -> None:
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"")
    for name in ("nothing", "no/folder", "folder", "file/below"):
        with pytest.raises(artifact_store.Missing) as told:
            artifact_store.get(uri(name))
        assert not told.value.transient


OUTSIDE = [
    "../secret", "a/../../secret", "a/./b", "a//b", "", "/", "a/", "%2e%2e/secret", "..%2fsecret", "a%00b", "a\x00b",
    "a\nb", "..\\secret", "a?b", "a#b", "a%3Fb",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_is_not_plain_is_refused(root: Path, name: str) -> None:
    with pytest.raises(artifact_store.Outside):
        artifact_store.get(uri(name))
    with pytest.raises(artifact_store.Outside):
        artifact_store.put(uri(name), b"x")
    assert not root.exists()


@pytest.mark.parametrize("form", ["file://{}/secret", "{}/secret", "file:{}/secret", "file://else{}/models of ours/x"])
def test_a_uri_of_elsewhere_is_refused(root: Path, form: str) -> None:
    for elsewhere in (form.format(root.parent), "s3://models/x", "http://127.0.0.1/x", f"{uri('')[:-1]}-too/x"):
        with pytest.raises(artifact_store.Outside):
            artifact_store.get(elsewhere)


def test_a_link_that_leads_out_is_not_followed(root: Path) -> None:
    root.mkdir()
    (root / "link").symlink_to(root.parent / "secret")
    (root / "folder").symlink_to(root.parent)
    for name in ("link", "folder/secret"):
        with pytest.raises(artifact_store.Outside, match="leads out"):
            artifact_store.get(uri(name))
        with pytest.raises(artifact_store.Outside, match="leads out"):
            artifact_store.put(uri(name), b"x")
    assert (root.parent / "secret").read_bytes() == b"not yours"


def test_a_pipe_is_no_file_and_is_not_waited_for(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(artifact_store.Missing, match="no file"):
        artifact_store.get(uri("pipe"))


def test_what_is_too_large_is_neither_read_nor_written(root: Path, settings: Settings) -> None:
    artifact_store.put(uri("x"), b"12345")
    assert artifact_store.get(uri("x"), most=5) == b"12345"
    with pytest.raises(artifact_store.TooLarge, match="5 bytes, at most 4"):
        artifact_store.get(uri("x"), most=4)
    settings.ML_ARTIFACT_MAX_BYTES = 3
    with pytest.raises(artifact_store.TooLarge):
        artifact_store.get(uri("x"))
    with pytest.raises(artifact_store.TooLarge):
        artifact_store.put(uri("y"), b"1234")
    assert not (root / "y").exists()


def test_what_cannot_be_written_leaves_nothing_behind(root: Path) -> None:
    artifact_store.put(uri("folder/x"), b"1")
    with pytest.raises(artifact_store.Refused):
        artifact_store.put(uri("folder"), b"a folder is there")
    assert [path.name for path in root.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://models", "s3://models"),
        ("s3://models/", "s3://models"),
        ("s3://plant-models/a/b_1/", "s3://plant-models/a/b_1"),
        ("/srv/models/", "file:///srv/models"),
        ("/srv/our models", "file:///srv/our%20models"),
    ],
)
def test_the_place_of_files_is_read(given: str, expected: str) -> None:
    assert addresses.artifacts(given) == expected


@pytest.mark.parametrize(
    "given", ["s3://", "s3:///models", "s3://Models", "s3://models//x", "s3://models/x?y", "s3://a b"]
)
def test_a_mistyped_bucket_is_told(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="ML_ARTIFACTS"):
        addresses.artifacts(given)
