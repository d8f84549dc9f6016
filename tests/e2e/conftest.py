"""The live server of these tests is the web server's role in the database, as the real one is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from pytest_django.live_server_helper import LiveServer


@pytest.fixture(scope="session")
def _held() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MIDDLEWARE", ["tests.walled.AsWeb", *settings.MIDDLEWARE])
        yield patch


@pytest.fixture(scope="session")
def live_server(_held: pytest.MonkeyPatch, live_server: LiveServer) -> LiveServer:
    """It has read the setting when it has started."""
    _held.undo()
    return live_server
