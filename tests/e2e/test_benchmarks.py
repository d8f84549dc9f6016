"""The benchmarks in small: that they run, and that their books balance. No time is asserted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import connections, copying, files, latency, load, others, plain, throughput
from tests.bench.running import BooksDoNotBalance, Site, running
from tests.load.scenarios import PEAK, STEADY

MACHINES = 20
KEEP_COMMIT_TIMES = "ALTER SYSTEM SET track_commit_timestamp = on"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("bench")
    with running(folder, machines=MACHINES, postgres=KEEP_COMMIT_TIMES) as made:
        yield made


def test_every_probe_opens_an_alarm_alone_and_beside_a_load(site: Site) -> None:
    """First of all: an alarm that a load has left active opens for no probe."""
    alone = latency.probe(site, seconds=0.5)
    assert len(alone) == 0.5 * latency.PROBE_RATE
    assert (alone > 0).all()
    beside = latency.probe(site, seconds=0.5, load=5_000)
    assert (beside > 0).all()


def test_each_shape_is_stored_and_judged(site: Site) -> None:
    for series in throughput.SERIES:
        outcomes = throughput.measure(site, series, seconds=0.3, times=1, connections=None)
        assert outcomes[0].accepted > 0
        assert throughput.show(series, outcomes, seconds=0.3)[0]["value"] > 0


def test_single_readings_are_taken_at_once_and_each_is_stored_once(site: Site) -> None:
    _, late, stored = latency.accept_rows(site, rate=50, goal=1_000, seconds=0.5, times=1)
    assert (late["value"], late["ok"]) == (0, True)
    assert (stored["value"], stored["ok"]) == (0, True)


def test_many_connections_are_answered(site: Site) -> None:
    rows = connections.rows(site, connections=100, seconds=0.3)
    assert [row["ok"] for row in rows if row["goal"] == 0] == [True]


def test_a_reading_that_is_lost_is_noticed(site: Site) -> None:
    site.accepted += 1
    with pytest.raises(BooksDoNotBalance, match="readings in the store"):
        site.balance()
    site.accepted -= 1
    site.excursions += 1
    with pytest.raises(BooksDoNotBalance, match="excursions"):
        site.balance()
    site.excursions -= 1
    site.balance()


def test_what_locust_sends_is_stored_row_by_row_and_memory_is_watched(site: Site) -> None:
    """After all whose books are the site's: these are its own."""
    outcomes = [load.carry_out(site, one, seconds=2, seed=1, every=0.5) for one in (STEADY, PEAK)]
    found = {row["name"]: row for one in outcomes for row in load.rows_of(one)}
    assert [name for name, row in found.items() if row["ok"] is False] == []
    for outcome in outcomes:
        sent = len(outcome.found["status"])
        assert sent > 0
        assert outcome.books.accepted == sent * outcome.scenario.readings
    memory = {row["name"]: row for row in load.rows_of_memory(outcomes)}
    assert 0 < memory["connections to Postgres, at most"]["value"] < 100
    assert memory["memory of web, at most"]["value"] > 10
    assert [name for name, row in memory.items() if row["ok"] is False] == []


def test_a_row_that_is_lost_on_the_way_is_noticed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = load.STORED + " AND n.external_id <> 'm003.s3'"
    monkeypatch.setattr(load, "STORED", stored)
    outcome = load.carry_out(site, STEADY, seconds=2, seed=1, every=0.5)
    assert outcome.books.lost > 0
    (row,) = (one for one in load.rows_of(outcome) if one["name"] == "steady: lost")
    assert row["ok"] is False


def test_the_baselines_on_the_same_servers(site: Site, tmp_path: Path) -> None:
    """Last: the service's own processes are stopped for it."""
    site.service.kill()
    for way in (copying.ROWS, copying.ARRAYS):
        assert copying.rates(site.service, way, readings=20_000, times=1)[0] > 0
    with plain.plain(site.service, tmp_path, machines=MACHINES) as theirs:
        assert theirs.rate(shape="hundreds", seconds=0.3, connections=2) > 0


@pytest.mark.parametrize("other", others.OTHERS, ids=lambda other: str(other.name))
def test_another_database_holds_what_it_was_sent(other: others.Other, tmp_path: Path) -> None:
    binary = shutil.which(other.binary)
    if binary is None:
        pytest.skip(f"{other.binary} is not installed")
    found = others.measure(other, binary, tmp_path, seconds=0.2, times=1)
    assert found.best > 0
    assert found.bytes_each > 0


def test_a_file_is_judged_beside_the_time_it_takes_to_read_it() -> None:
    found = {one["name"]: one for one in files.bench(rows=600)}
    assert found["8 x 600: the command"]["value"] > found["8 x 600: csv alone"]["value"] > 0
    assert 10 < found["1 x 600: memory"]["value"] < 1000
