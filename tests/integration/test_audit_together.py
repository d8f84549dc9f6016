"""The audit trail while several write and seal at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction

from sensors import audit, audit_chain
from sensors.audit import Act
from sensors.audit_models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT_SECONDS = 20.0


def beside(work: Callable[[], None]) -> threading.Thread:
    """Work on a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_an_entry_that_is_committed_late_is_sealed_late_and_nothing_is_wrong() -> None:
    written, sealed = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            audit.record([Act("slow.done")])
            written.set()
            assert sealed.wait(LIMIT_SECONDS)

    thread = beside(slow)
    assert written.wait(LIMIT_SECONDS)
    audit.record([Act("quick.done")])
    assert audit_chain.seal() == 1
    sealed.set()
    thread.join(LIMIT_SECONDS)
    assert audit_chain.seal() == 1
    slow_one, quick_one = AuditEntry.objects.order_by("id")
    assert (slow_one.action, slow_one.number, quick_one.number) == ("slow.done", 2, 1)
    assert audit_chain.verify().faults == []


def test_writers_and_sealers_at_once_leave_one_chain_without_gaps() -> None:
    start = threading.Barrier(6)

    def write() -> None:
        start.wait(LIMIT_SECONDS)
        for n in range(30):
            audit.record([Act("thing.done", f"thing/{n}")])

    def seal() -> None:
        start.wait(LIMIT_SECONDS)
        for _ in range(15):
            audit_chain.seal()

    for thread in [beside(work) for work in (write, write, write, seal, seal, seal)]:
        thread.join(LIMIT_SECONDS)
    audit_chain.seal()
    found = audit_chain.verify()
    assert (found.faults, found.entries, found.head.number) == ([], 90, 90)
