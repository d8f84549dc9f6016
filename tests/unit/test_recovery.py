"""What backups are made of: places, sealing, which one to choose, what to forget. No database."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyrage import x25519

from config.recovery import base, places, restore, sealed, wal
from config.recovery.places import Folder

KEY = x25519.Identity.generate()
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def seal(data: bytes, target: Path) -> str:
    return sealed.seal(io.BytesIO(data), target, to=KEY.to_public())[1]


def backup(place: Folder, *, days_ago: int, first_wal: str, tmp_path: Path) -> base.Manifest:
    at = NOW - timedelta(days=days_ago)
    digest = seal(b"data", tmp_path / "piece")
    made = base.Manifest(
        at.strftime(base.STAMP), at.isoformat(), at.isoformat(), first_wal, "0/0", 180000, "1",
        {base.DUMP: {"size": 4, "sha256": digest}},
    )  # fmt: skip
    place.put(tmp_path / "piece", f"{made.prefix}/{base.DUMP}{sealed.ENDING}")
    (tmp_path / "manifest").write_text(json.dumps(asdict(made)))
    place.put(tmp_path / "manifest", f"{made.prefix}/{base.MANIFEST}")
    return made


@pytest.fixture
def place(tmp_path: Path, settings: Any) -> Folder:
    settings.BACKUP_SPOOL = tmp_path / "spool"
    return Folder(tmp_path / "place")


def segment(number: int) -> str:
    return f"00000001{number:016X}"


def test_what_is_sealed_opens_with_the_key_alone(tmp_path: Path) -> None:
    data = b"readings " * 100_000
    digest = seal(data, tmp_path / "sealed")
    assert sealed.sha256(tmp_path / "sealed") == digest
    assert b"readings" not in (tmp_path / "sealed").read_bytes()
    opened = io.BytesIO()
    sealed.unseal(tmp_path / "sealed", opened, key=KEY)
    assert opened.getvalue() == data
    with pytest.raises(sealed.Broken):
        sealed.unseal(tmp_path / "sealed", io.BytesIO(), key=x25519.Identity.generate())


@pytest.mark.parametrize("harm", ["flipped", "cut"])
def test_a_changed_or_cut_file_does_not_open(tmp_path: Path, harm: str) -> None:
    seal(bytes(range(256)) * 4_000, tmp_path / "sealed")
    raw = bytearray((tmp_path / "sealed").read_bytes())
    if harm == "flipped":
        raw[len(raw) // 2] ^= 1
    (tmp_path / "sealed").write_bytes(raw if harm == "flipped" else raw[:-20])
    with pytest.raises(sealed.Broken):
        sealed.unseal(tmp_path / "sealed", io.BytesIO(), key=KEY)


@pytest.mark.parametrize("text", ["", "age1nothing", "# a comment"])
def test_what_is_no_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(sealed.NoKey):
        sealed.identity(text)
    with pytest.raises(sealed.NoKey):
        sealed.recipient(text)


def test_a_place_stores_lists_and_forgets(place: Folder, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    place.put(tmp_path / "one", "wal/one")
    place.put(tmp_path / "one", "base/x/two")
    assert place.names("wal/") == ["wal/one"]
    place.get("wal/one", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"1"
    place.delete("wal/one")
    place.delete("wal/one")
    assert place.names("") == ["base/x/two"]
    with pytest.raises(places.PlaceError, match="wal/one"):
        place.get("wal/one", tmp_path / "back")


def test_a_backup_without_its_manifest_is_none(place: Folder, tmp_path: Path) -> None:
    made = backup(place, days_ago=1, first_wal=segment(1), tmp_path=tmp_path)
    assert base.manifests(place) == [made]
    place.delete(f"{made.prefix}/{base.MANIFEST}")
    assert base.manifests(place) == []


def test_flaws_are_found(place: Folder, tmp_path: Path) -> None:
    made = backup(place, days_ago=1, first_wal=segment(1), tmp_path=tmp_path)
    assert base.flaws(place, made) == []
    stored = place.root / f"{made.prefix}/{base.DUMP}{sealed.ENDING}"
    stored.write_bytes(stored.read_bytes()[:-1])
    assert base.flaws(place, made) == [f"{made.prefix}/{base.DUMP}{sealed.ENDING} is not what was stored"]
    stored.unlink()
    assert base.flaws(place, made) == [f"{made.prefix}/{base.DUMP}{sealed.ENDING} is missing"]


def test_an_instant_is_reached_from_the_newest_backup_before_it(place: Folder, tmp_path: Path) -> None:
    old = backup(place, days_ago=9, first_wal=segment(1), tmp_path=tmp_path)
    new = backup(place, days_ago=2, first_wal=segment(5), tmp_path=tmp_path)
    found = base.manifests(place)
    assert restore.choose(found, at=None) == new
    assert restore.choose(found, at=NOW - timedelta(days=3)) == old
    with pytest.raises(restore.NoBackup, match=r"The first one there is"):
        restore.choose(found, at=NOW - timedelta(days=10))
    with pytest.raises(restore.NoBackup):
        restore.choose([], at=None)


def test_old_backups_go_with_the_log_that_only_they_need(place: Folder, tmp_path: Path) -> None:
    backup(place, days_ago=40, first_wal=segment(1), tmp_path=tmp_path)
    kept = backup(place, days_ago=29, first_wal=segment(3), tmp_path=tmp_path)
    (tmp_path / "wal").write_bytes(b"")
    for name in (segment(1), segment(2), segment(3), f"{segment(4)}{wal.PARTIAL}", "00000002.history"):
        place.put(tmp_path / "wal", f"{wal.FOLDER}/{name}{sealed.ENDING}")
    assert len(base.forget(place, days=30, now=NOW)) == 1
    assert base.manifests(place) == [kept]
    left = {Path(name).name.removesuffix(sealed.ENDING) for name in place.names("wal/")}
    assert left == {segment(3), f"{segment(4)}{wal.PARTIAL}", "00000002.history"}


def test_the_newest_backup_stays_however_old(place: Folder, tmp_path: Path) -> None:
    made = backup(place, days_ago=400, first_wal=segment(1), tmp_path=tmp_path)
    assert base.forget(place, days=30, now=NOW) == []
    assert base.manifests(place) == [made]


def test_the_log_comes_back_by_the_names_of_postgres(place: Folder, tmp_path: Path) -> None:
    for name, text in ((segment(1), b"1"), (segment(2), b"2"), (f"{segment(3)}{wal.PARTIAL}", b"3")):
        seal(text, tmp_path / "piece")
        place.put(tmp_path / "piece", f"{wal.FOLDER}/{name}{sealed.ENDING}")
    assert wal.fetch(place, tmp_path / "back", first=segment(2), key=KEY) == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == {
        segment(2): b"2",
        segment(3): b"3",
    }
