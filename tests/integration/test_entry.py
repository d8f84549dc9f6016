"""Many batches in one statement, each on its own terms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from sensors import columns, directory, entry, inbox
from sensors.entry import Entry, Part, State
from sensors.models import Batch, BatchPart, Membership, Sensor, Site
from tests import factories
from tests.client import JSON, client
from tests.unit import tables

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/data/ingest"


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


def entry_of(site_id: int, *, key: str = "", user: User | None = None, lanes: tuple[int, ...] = (3,)) -> Entry:
    now = directory.numbers()
    batch = Batch(
        site_id=site_id, submitted_by=user, idempotency_key=key, body_sha256="0" * 64, items=len(lanes),
        accepted=len(lanes), held=0, duplicates=0, rejected=0, results=[], received_at=timezone.now(),
    )  # fmt: skip
    packed = columns.pack(tables.columns([1], [2.0]))
    return Entry(batch, tuple(Part(lane, None, 1, packed) for lane in lanes), access=now.access, fleet=now.fleet)


def states(*entries: Entry) -> list[State]:
    return [outcome.state for outcome in entry.store(entries)]


def test_entries_are_stored_as_they_are_and_in_their_order(sensor: Sensor) -> None:
    user = factories.user()
    given = [entry_of(sensor.site_id, lanes=(5, 1)), entry_of(sensor.site_id, user=user, key='a "b" \\ é', lanes=(2,))]
    given[0].batch.results.append({"pointer": "#/1", "detail": 'it\'s \\ "so"'})
    given[0].batch.items, given[0].batch.rejected = 3, 1
    assert states(*given) == [State.STORED, State.STORED]
    for one in given:
        stored = Batch.objects.get(pk=one.batch.pk)
        for field in Batch._meta.concrete_fields:
            assert getattr(stored, field.attname) == getattr(one.batch, field.attname), field.name
    parts = list(BatchPart.objects.order_by("pk"))
    assert [(part.batch_id, part.lane) for part in parts] == [
        (given[0].batch.pk, 5), (given[0].batch.pk, 1), (given[1].batch.pk, 2),
    ]  # fmt: skip
    assert {part.state for part in parts} == {"WAITING"}
    assert {(part.outcome == {}, part.error, bytes(part.columns)) for part in parts} == {
        (True, "", given[0].parts[0].columns)
    }


def test_only_what_is_out_of_date_is_left_out(sensor: Sensor) -> None:
    old = entry_of(sensor.site_id)
    factories.sensor(machine=sensor.machine)
    fresh = entry_of(sensor.site_id)
    factories.user()
    of_nobody = Entry(fresh.batch, fresh.parts, access=None, fleet=fresh.fleet)
    assert states(old, of_nobody, entry_of(sensor.site_id)) == [State.OUTDATED, State.STORED, State.STORED]
    assert states(Entry(Batch.objects.first() or old.batch, (), access=fresh.access, fleet=fresh.fleet)) == [
        State.OUTDATED
    ]
    assert Batch.objects.count() == BatchPart.objects.count() == 2


def test_a_key_is_stored_once_whether_it_comes_together_or_later(sensor: Sensor) -> None:
    user, other = factories.user(), factories.user()
    same = [entry_of(sensor.site_id, key="k", user=user) for _ in range(3)]
    assert states(*same[:2]) == [State.STORED, State.KNOWN]
    assert states(same[2], entry_of(sensor.site_id, key="k", user=other)) == [State.KNOWN, State.STORED]
    assert Batch.objects.count() == BatchPart.objects.count() == 2


def test_a_key_that_another_transaction_stores_is_in_flight_and_the_others_are_stored(sensor: Sensor) -> None:
    given, began, go_on = entry_of(sensor.site_id, key="k"), threading.Event(), threading.Event()

    def store() -> None:
        with closing(connection), transaction.atomic():
            assert states(given) == [State.STORED]
            began.set()
            go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store)
        assert began.wait(30)
        try:
            found = states(entry_of(sensor.site_id, key="k"), entry_of(sensor.site_id))
        finally:
            go_on.set()
        first.result()
    assert found == [State.IN_FLIGHT, State.STORED]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.002)


def waits_for_the_table(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", [entry.BATCH])
    return bool(cursor.fetchone()[0])


def accept_all(sensor: Sensor, sites: list[Site]) -> tuple[list[object], int]:
    """What came of a request of each site, when all but the first wait until they can go together; and how many
    transactions there were."""

    def accept(site: Site) -> object:
        body = b'[{"sensor": "%s", "measured_at": "2026-03-01T11:00:00Z", "value": 1}]' % sensor.external_id.encode()
        with closing(connection):
            try:
                return inbox.accept(site=site, user=None, body=body, received_at=factories.NOON)
            except IntegrityError as error:
                return error

    _, fleet = directory.see(directory.numbers())  # what an earlier test left is out of date: all would go twice
    fleet.codes[0] = dict(fleet.places(sensor.site_id, [sensor.external_id]))
    with ThreadPoolExecutor(len(sites)) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {entry.BATCH} IN EXCLUSIVE MODE")
            futures = [pool.submit(accept, sites[0])]
            until(lambda: waits_for_the_table(cursor))
            futures += [pool.submit(accept, site) for site in sites[1:]]
            until(lambda: len(entry.together._waiting) == len(sites) - 1)
        found = [future.result() for future in futures]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(DISTINCT xmin::text) FROM {entry.BATCH}")
        return found, cursor.fetchone()[0]


def test_requests_that_come_at_the_same_time_share_a_transaction(sensor: Sensor) -> None:
    found, transactions = accept_all(sensor, [sensor.site] * 8)
    assert all(isinstance(one, inbox.Accepted) for one in found)
    assert Batch.objects.count() == BatchPart.objects.count() == 8
    assert transactions == 2


def test_a_request_that_cannot_be_stored_does_not_keep_the_others_from_it(sensor: Sensor) -> None:
    nowhere = Site(pk=0, slug="nowhere")
    found, _ = accept_all(sensor, [sensor.site, sensor.site, nowhere, sensor.site, sensor.site])
    assert [isinstance(one, inbox.Accepted) for one in found] == [True, True, False, True, True]
    assert isinstance(found[2], IntegrityError)
    assert Batch.objects.count() == BatchPart.objects.count() == 4


def test_of_many_clients_at_once_every_one_gets_its_own_batch(sensor: Sensor) -> None:
    users = [factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None) for _ in range(6)]
    together = threading.Barrier(len(users))

    def send(user: User) -> dict[str, tuple[int, int]]:
        http, answers = client(user), {}
        together.wait(30)
        with closing(connection):
            for n in range(1, 6):
                body = [{"sensor": sensor.pk, "measured_at": f"2026-03-01T11:{m:02}:00Z", "value": n} for m in range(n)]
                answer = http.post(URL, body, JSON, headers={"Idempotency-Key": str(n)})
                assert answer.status_code == 202, answer.content
                answers[answer.json()["batch"]] = (user.pk, n)
        return answers

    with ThreadPoolExecutor(len(users)) as pool:
        answers = {batch: told for one in pool.map(send, users) for batch, told in one.items()}
    stored = Batch.objects.values_list("pk", "submitted_by_id", "accepted", "parts__readings")
    assert {str(pk): (user, accepted) for pk, user, accepted, _ in stored} == answers
    assert all(accepted == readings for _, _, accepted, readings in stored)
    assert len(answers) == 30
