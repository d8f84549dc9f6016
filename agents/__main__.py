"""``python -m agents``: compile what is compiled on first use."""

from __future__ import annotations

from agents import warm

warm.up()
