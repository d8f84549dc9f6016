"""No dependency is older than the advisories allow (``deploy/floors.toml``), as pinned and as installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FLOORS: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "deploy/floors.toml").read_text(encoding="utf-8"))
PACKAGES = FLOORS["packages"]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;#]+)", re.M)


def pins(text: str) -> dict[str, str]:
    return {name.lower().replace("_", "-"): number for name, number in PIN.findall(text)}


def below(found: dict[str, str]) -> list[str]:
    """The packages that are older than their floor, and those that are missing."""
    told = []
    for name, one in PACKAGES.items():
        if name not in found:
            told.append(f"{name} is not there")
        elif Version(found[name]) < Version(one["floor"]):
            told.append(f"{name} {found[name]} is below {one['floor']}")
    return told


def installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def test_the_pins_are_not_below_the_floors() -> None:
    assert below(pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))) == []


def test_what_is_installed_is_not_below_the_floors() -> None:
    assert below(installed()) == []


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_lowered_pin_is_seen(name: str) -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lowered = re.sub(rf"^{name}==[^ ;]+", f"{name}==0.0.1", text, flags=re.M)
    assert below(pins(lowered)) == [f"{name} 0.0.1 is below {PACKAGES[name]['floor']}"]
    assert below(pins(re.sub(rf"^{name}==.*$", "", text, flags=re.M))) == [f"{name} is not there"]


@pytest.mark.parametrize("name", sorted(FLOORS["images"]))
def test_images_are_not_below_the_floors(name: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    tag = re.match(r"v?([\d.]+)", compose["services"][name]["image"].partition(":")[2])
    assert tag is not None
    assert Version(tag[1]) >= Version(FLOORS["images"][name]["floor"])


def test_every_floor_says_why() -> None:
    for kind in FLOORS.values():
        for name, one in kind.items():
            assert set(one) == {"floor", "cves", "why"}, name
            assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}", cve) for cve in one["cves"]), name
            assert one["why"].endswith(".")
