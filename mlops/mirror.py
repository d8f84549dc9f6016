"""MLflow's aliases follow the ledger, so that who looks there sees who speaks. Nothing of ours asks MLflow for it.

Heavy, as what it imports: only the worker of trainings reaches it.
"""

from __future__ import annotations

import structlog

from mlops import ledger, registry
from mlops.models import Deployment

log = structlog.get_logger(__name__)


def follow() -> int:
    """Tell MLflow of every entry it was not told of as it stands, the oldest first; how many.

    Raises ``registry.RegistryError``: what was not told is told the next time.
    """
    told = 0
    for entry in ledger.not_mirrored():
        _tell(entry)
        ledger.mirrored(entry)
        told += 1
    return told


def _tell(entry: Deployment) -> None:
    """Of the alias as it is now: what an old entry said may be over."""
    now = ledger.champion(entry.name) if entry.alias == Deployment.Alias.CHAMPION else ledger.challenger(entry.name)
    alias = entry.alias.lower()
    if now is None:
        registry.drop_alias(name=entry.name, alias=alias)
    else:
        registry.set_alias(name=entry.name, alias=alias, version=now.mlflow_version)
    log.info("mlops.mirror.told", model=entry.name, alias=alias, version=None if now is None else now.version)
