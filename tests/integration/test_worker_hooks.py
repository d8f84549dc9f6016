from __future__ import annotations

import pytest
from celery.signals import task_prerun
from django.db import InterfaceError, connection

from agents.models import Run


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_with_postgres_does_not_fail_the_next_task() -> None:
    connection.ensure_connection()
    connection.connection.close()
    with pytest.raises(InterfaceError):
        Run.objects.exists()
    task_prerun.send(sender=None)
    assert not Run.objects.exists()
