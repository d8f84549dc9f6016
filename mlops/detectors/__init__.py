"""The detectors that judge every sensor, by name. To add one: a file with a ``contract.Detector``, and a line here."""

from __future__ import annotations

from mlops.detectors.adaptive import Adaptive
from mlops.detectors.contract import Detector
from mlops.detectors.limits import Limits

DETECTORS: dict[str, Detector] = {detector.name: detector for detector in (Limits(), Adaptive())}
