"""What makes a model anew from its stored parts, by kind. To add one: its class here, with a ``from_parts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops import forecasting, time_to_limit
from mlops.bearing_health import LevelHealth, VibrationHealth
from mlops.bearing_life import LineOfAge, TimeToFailure
from mlops.beginnings import LevelLimit, NoveltyOfBeginning
from mlops.charts import Chart
from mlops.classification import Classifier
from mlops.known_faults import KnownFaults
from mlops.learning.contract import Learned
from mlops.multivariate import Multivariate
from mlops.prognosis import LifeLeft

KINDS: dict[str, Callable[[dict[str, Any]], Learned]] = {
    Chart.kind: Chart.from_parts,
    Classifier.kind: Classifier.from_parts,
    KnownFaults.kind: KnownFaults.from_parts,
    LevelHealth.kind: LevelHealth.from_parts,
    LevelLimit.kind: LevelLimit.from_parts,
    LifeLeft.kind: LifeLeft.from_parts,
    LineOfAge.kind: LineOfAge.from_parts,
    Multivariate.kind: Multivariate.from_parts,
    NoveltyOfBeginning.kind: NoveltyOfBeginning.from_parts,
    TimeToFailure.kind: TimeToFailure.from_parts,
    VibrationHealth.kind: VibrationHealth.from_parts,
    "ahead": forecasting.from_parts,
    "wear": time_to_limit.wear_from_parts,
}
