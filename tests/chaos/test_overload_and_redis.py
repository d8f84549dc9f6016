"""Short forms of ``tests.chaos.redis_minute`` and ``tests.chaos.overload``, on the whole service."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from agents.channels.sink import SmtpSink
from tests.bench import results
from tests.chaos import load, overload, redis_minute
from tests.chaos.client import token
from tests.chaos.load import Load
from tests.chaos.service import SITES, Service, until

REQUESTS = 100
PATIENCE = 90.0


@pytest.mark.timeout(400)
def test_what_is_accepted_while_redis_hangs_or_is_gone_is_judged_before_it_comes_back(tmp_path: Path) -> None:
    with redis_minute.running(tmp_path) as (service, store, password):
        sent = 0
        for how in ("hung", "killed"):
            body = partial(load.readings, sensors=redis_minute.MACHINES, size=redis_minute.READINGS, first=sent)
            client = Load(service.url, token(service.url, SITES[0], password), rate=10, body=body)
            store.fail(how=how)
            client.begin()
            until(lambda client=client: len(client.answers) >= REQUESTS, limit=PATIENCE)
            answers = client.end()
            sent += len(answers)
            assert load.accepted(answers) == answers, load.summary(answers)
            until(lambda: redis_minute.is_quiet(service), limit=PATIENCE)
            assert service.number(load.STORED) == sent * redis_minute.READINGS
            assert service.number(load.STAGES_TWICE) == 0
            store.recover(how=how)


@pytest.mark.timeout(400)
def test_what_is_too_much_is_refused_with_a_time_and_what_is_accepted_is_stored_once(tmp_path: Path) -> None:
    with SmtpSink(port=0) as sink:
        mail = {"EMAIL_HOST": sink.host, "EMAIL_PORT": str(sink.port), "EMAIL_USE_TLS": "0"}
        service = Service(tmp_path / "home", lease_seconds=overload.LEASE, environment=mail)
        try:
            passwords = overload.set_up(service)
            service.start({"INTAKE_MAX_BACKLOG_READINGS": str(overload.READINGS * 10)})
            found = overload.flood(service, passwords, rate=30, sent=[], seconds=6)
        finally:
            service.stop()
    results.show(overload.rows(1.0, found))
    statuses = {answer.status for answer in (*found.flood, *found.critical)}
    assert statuses & set(overload.REFUSALS), "nothing was refused: this was no overload"
    assert statuses <= {overload.ACCEPTED, *overload.REFUSALS}
    refused = [answer for answer in found.flood if answer.status in overload.REFUSALS]
    assert all(answer.retry_after.isdigit() for answer in refused)
    assert found.stored == found.accepted
    assert found.stages_twice == 0
