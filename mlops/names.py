"""The models there are recipes for, by name, with their experiments. Light: who only names them loads no recipe."""

from __future__ import annotations

NAMES: dict[str, str] = {}
