"""The models there are recipes for, by name, with their experiments. Light: who only names them loads no recipe."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "rig-anomaly": "anomaly",
    "plant-anomaly": "anomaly",
    "spacecraft-anomaly": "anomaly",
    "hydraulic-anomaly": "anomaly",
    "bearing-health-femto": "vibration-health",
    "bearing-health-ims": "vibration-health",
    "bearing-life-femto": "bearing-life",
    "bearing-novelty-femto": "vibration-novelty",
    "bearing-novelty-ims": "vibration-novelty",
    "hydraulic-cooler": "condition-classification",
    "hydraulic-valve": "condition-classification",
    "hydraulic-pump": "condition-classification",
    "hydraulic-accumulator": "condition-classification",
    "milling-failure": "failure-classification",
}
