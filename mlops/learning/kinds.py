"""What makes a model anew from its stored parts, by kind. To add one: its class here, with a ``from_parts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops.learning.contract import Learned

KINDS: dict[str, Callable[[dict[str, Any]], Learned]] = {}
