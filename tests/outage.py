"""A service on servers of its own whose Postgres stops and comes back; run by tests as a process.

``python -m tests.outage`` with a fresh ``BELLWETHER_HOME`` prints what requests were answered, as JSON.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test.client import FakePayload, RequestFactory

from config import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
embedded.ensure()
django.setup()

from sensors.families import Refresh  # noqa: E402  (models need Django)
from sensors.models import Batch, Membership  # noqa: E402
from tests import factories  # noqa: E402


def main() -> None:
    call_command("migrate", verbosity=0)
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    user = factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None)
    token = Refresh.for_user(user).access_token
    serve = get_wsgi_application()

    def post(minute: int) -> list[Any]:
        """Status and Retry-After of a request as a web server makes it, with Django's signals around it."""
        body = json.dumps([{"sensor": sensor.pk, "measured_at": f"2026-03-01T11:0{minute}:00Z", "value": 1.0}])
        request = RequestFactory(headers={"Authorization": f"Bearer {token}", "Host": "localhost"})
        environ = request._base_environ(
            PATH_INFO="/api/v1/data/ingest", REQUEST_METHOD="POST", CONTENT_TYPE="application/json",
            CONTENT_LENGTH=str(len(body)),
        ) | {"wsgi.input": FakePayload(body.encode()), "wsgi.errors": io.BytesIO()}  # fmt: skip
        said: list[Any] = []
        answer = serve(environ, lambda status, headers, *_: said.append((status, dict(headers))))
        list(answer)
        answer.close()  # type: ignore[attr-defined]  # Django's responses have it
        status, headers = said[0]
        return [int(status.split()[0]), headers.get("Retry-After")]

    told: dict[str, Any] = {"before": post(0)}
    embedded._pg("pg_ctl", "-m", "immediate", "-w", "-D", str(embedded._data()), "stop")
    told["stopped"] = [post(1), post(1)]
    embedded.ensure_needed()
    told["back"] = post(1)
    told["batches"] = Batch.objects.count()
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
