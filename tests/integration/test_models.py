"""Models end to end: trained through MLflow, promoted by the gate, asked over REST, rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import SettingsWrapper

from agents import failpoints, sweeper
from agents.doorbell import Bell
from agents.questions import api as questions_api
from agents.trainings import jobs, requests
from config import embedded
from mlops import ledger, loader, mirror, names, registry
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import Deployment, ModelPolicy, ModelVersion, Question, Training
from mlops.recipes import RECIPES
from sensors.models import Membership, Site
from tests import factories, made_models, workers
from tests.client import problem
from tests.made_models import NAME, Wear
from tests.model_servers import Server

pytestmark = pytest.mark.django_db
JSON = "application/json"


@pytest.fixture(autouse=True)
def made(tracking_server: Server, settings: SettingsWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    monkeypatch.setitem(RECIPES, NAME, Wear())
    monkeypatch.setitem(names.NAMES, NAME, "made")
    monkeypatch.setitem(KINDS, "made-line", made_models.from_parts)
    yield
