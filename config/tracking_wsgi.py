"""The application that Granian serves as a node's MLflow server: MLflow's own, behind a password.

It is the part of MLflow that Flask serves. What MLflow's own command would put around it (an assistant that runs shell
commands, jobs, a gateway to language models) is left out, and its second process with it.
"""

from __future__ import annotations

import hmac
import os
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import tracking

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if not settings.MLFLOW_TRACKING_URI or not settings.MLFLOW_TRACKING_PASSWORD:
    raise ImproperlyConfigured("The MLflow server needs MLFLOW_TRACKING_URI (or MLFLOW_PORT) and a password.")
_store = tracking.backend_store()
os.environ |= tracking.environment(_store)

from mlflow.server import app, handlers  # noqa: E402  (it reads the environment when it is imported)

handlers.initialize_backend_stores(_store, _store, settings.ML_ARTIFACTS)

WORDS = f"{settings.MLFLOW_TRACKING_USERNAME}:{settings.MLFLOW_TRACKING_PASSWORD}"
KNOWN = f"Basic {b64encode(WORDS.encode()).decode()}".encode()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    asked = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
    if environ.get("PATH_INFO") == "/health" or hmac.compare_digest(asked, KNOWN):
        return app(environ, start_response)
    start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="MLflow"'), ("Content-Type", "text/plain")])
    return [b"Name and password, please.\n"]
