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
    "water-flow-day": "forecasting",
    "temperature-day": "forecasting",
    "cpu-hour": "forecasting",
    "hydraulic-temperature": "forecasting",
    "hydraulic-cooler": "condition-classification",
    "hydraulic-valve": "condition-classification",
    "hydraulic-pump": "condition-classification",
    "hydraulic-accumulator": "condition-classification",
    "milling-failure": "failure-classification",
    "battery-capacity": "time-to-limit",
    "turbofan-rul-fd001": "remaining-useful-life",
    "turbofan-rul-fd002": "remaining-useful-life",
    "turbofan-rul-fd003": "remaining-useful-life",
    "turbofan-rul-fd004": "remaining-useful-life",
}
