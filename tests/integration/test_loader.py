from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from mlops import artifact_store, ledger, loader
from mlops.learning import artifact
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import ModelVersion
from tests import made_models
from tests.integration.test_ledger import NAME, registered
from tests.made_models import SIGNATURE, Line, Wear

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def places(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.ML_ARTIFACTS = (tmp_path / "artifacts").as_uri()
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    KINDS["made-line"] = made_models.from_parts
    yield
    del KINDS["made-line"]


def stored(slope: float, *, champion: bool = True) -> ModelVersion:
    version = registered()
    data = artifact.pack(Line(slope, 0.25), SIGNATURE, None)
    version.uri = f"{artifact_store_root()}/{version.version}/model.skops"
    version.sha256, version.size = artifact.digest(data), len(data)
    version.save(update_fields=["uri", "sha256", "size"])
    artifact_store.put(version.uri, data)
    if champion:
        ledger.promote(version, actor="ann", reason="test")
    return version


def artifact_store_root() -> str:
    root: str = loader.settings.ML_ARTIFACTS
    return root


def spoil(version: ModelVersion) -> None:
    data = bytearray(artifact_store.get(version.uri))
    data[len(data) // 2] ^= 1
    artifact_store.put(version.uri, bytes(data))


def test_the_champion_speaks_as_it_was_taught() -> None:
    version = stored(1 / 3)
    speaker = loader.champion(NAME)
    examples = Wear().load(Path())
    np.testing.assert_array_equal(speaker.learned.answer(examples)["wear"], Line(1 / 3, 0.25).answer(examples)["wear"])
    assert (speaker.version, speaker.degraded, speaker.signature) == (version.version, "", SIGNATURE)


def test_rolled_back_the_answers_are_what_they_were_to_the_bit() -> None:
    examples = Wear().load(Path())
    stored(1 / 3)
    before = loader.champion(NAME).learned.answer(examples)["wear"]
    stored(2 / 7)
    assert (loader.champion(NAME).learned.answer(examples)["wear"] != before).any()
    ledger.rollback(NAME, actor="bob", reason="worse")
    assert loader.champion(NAME).learned.answer(examples)["wear"].tobytes() == before.tobytes()


def test_no_model_speaks_before_one_was_promoted() -> None:
    with pytest.raises(loader.Silent, match="none was promoted"):
        loader.champion(NAME)


def test_a_spoilt_champion_is_refused_and_the_one_before_speaks_and_says_so() -> None:
    stored(1.0)
    spoil(stored(2.0))
    speaker = loader.champion(NAME)
    assert (speaker.version, isinstance(speaker.learned, Line)) == (1, True)
    assert "Version 1 speaks instead of the champion (version 2: The sha256" in speaker.degraded


def test_where_no_version_can_be_had_nobody_speaks_and_the_reason_is_told() -> None:
    spoil(stored(1.0))
    with pytest.raises(loader.Silent, match="sha256"):
        loader.champion(NAME)


def test_what_was_opened_once_on_this_machine_needs_the_store_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    version = stored(1.0)
    loader.champion(NAME)
    Path(artifact_store._store()._path(version.uri, artifact_store._below(version.uri))).unlink()  # type: ignore[attr-defined]
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    assert loader.champion(NAME).degraded == ""


def test_a_spoilt_copy_on_this_machine_is_fetched_anew(settings: Settings) -> None:
    version = stored(1.0)
    loader.champion(NAME)
    copy = Path(settings.ML_CACHE_DIR) / f"{version.sha256}.skops"
    copy.write_bytes(b"something else")
    fresh = Shelf(most_bytes=10**6, seconds=60)
    assert fresh.get(version).version == 1
    assert artifact.digest(copy.read_bytes()) == version.sha256


def test_a_version_is_fetched_once_for_all_who_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    version, fetched = stored(1.0), []
    get = artifact_store.get
    monkeypatch.setattr(artifact_store, "get", lambda uri, *, most: fetched.append(uri) or get(uri, most=most))
    start, found = threading.Barrier(8), []

    def ask() -> None:
        start.wait(30)
        found.append(loader.shelf.get(version))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(fetched), len(found), len({id(one) for one in found})) == (1, 8, 1)


def test_the_shelf_keeps_within_its_size_and_time() -> None:
    first, second = stored(1.0), stored(2.0)
    small = Shelf(most_bytes=first.size + 1, seconds=60)
    one = small.get(first)
    assert small.get(first) is one
    small.get(second)
    assert small.get(first) is not one
    brief = Shelf(most_bytes=10**9, seconds=0.0)
    one = brief.get(first)
    brief.get(second)
    assert brief.get(first) is not one
