"""Alerts that fire for real: Prometheus asks the running web server and sweeper, Alertmanager tells a receiver.

Most of what is wrong is rows; all alerts, with workers that die and servers that go, are fired by ``make alerts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from deploy.grafana import boards
from tests import watching
from tests.bench import ills
from tests.watched import Product
from tests.watching import Watch

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(watching.MISSING), reason=watching.WHY_NOT),
]


def database(*, user: str) -> str:
    """The database of these tests, for another process."""
    of = connection.settings_dict
    host = quote(str(of["HOST"]), safe="")
    return f"postgresql://{user}@/{of['NAME']}?host={host}"


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    if connection.settings_dict["PASSWORD"]:
        pytest.skip("needs the embedded Postgres, which asks for no password")
    urls = {
        "DATABASE_URL": database(user=connection.settings_dict["USER"]),
        "DATABASE_WEB_URL": database(user=settings.DATABASE_WEB_ROLE),
    }
    running = Product(tmp_path, names=["web", "sweep"], environment=urls)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(400)
def test_what_is_wrong_is_told_with_a_summary_and_where_to_read_on(product: Product, tmp_path: Path) -> None:
    given = ills.make_plant()
    folder = tmp_path / "watch"
    folder.mkdir()
    with Watch(folder, web=product.web, workers=list(product.counting.values())) as watch:
        assert watch.missing({"DeadMansSwitch"}) == []
        assert not {"ReadingsWait", "SensorsSilent", "ServiceDown", "DiskFills"} & set(watch.told())
        for board in boards.BOARDS:  # with traffic and all workers each must show something: make alerts
            for panel in board.panels:
                for query in panel.lines.values():
                    watch.ask(query)
        product.kill("sweep")
        ills.write_rows()
        watch.figures.values["pdm_disk_free_ratio"] = 0.05
        reading = {"sensor": given["sensor"], "measured_at": timezone.now().isoformat(), "value": 1.0}
        watching.until(lambda: product.send(given["sender"], [reading]) == 503, what="a refusal")
        expected = {*ills.FROM_ROWS, "ServiceDown", "DiskFills", "ErrorsHigh", "IntakeRefuses"}
        assert watch.missing(expected, meanwhile=lambda: product.send(given["sender"], [reading])) == []
        told = watch.told()
        assert told["ServiceDown"]["labels"]["instance"] == product.counting["sweep"]
        assert told["BackupFailed"]["labels"]["severity"] == "critical"
        for alert in told.values():
            assert "template" not in alert["annotations"]["summary"]
            assert alert["annotations"]["runbook_url"].startswith("docs/runbook.md#")
        watching.until(lambda: {"BackupOld", "ReadingsWait"} <= watch.silenced(), what="held back by another")
        assert "BackupFailed" not in watch.silenced()
