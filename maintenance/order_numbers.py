"""An order's number as people write it. Pure: no Django."""

from __future__ import annotations

import re

NUMBER = re.compile(r"\s*WO-([0-9]{1,18})\s*", re.IGNORECASE)


def read(text: str) -> int | None:
    """The id in a text that is an order's number, such as ``WO-7``; none where it is anything else."""
    found = NUMBER.fullmatch(text)
    return None if found is None else int(found[1])
