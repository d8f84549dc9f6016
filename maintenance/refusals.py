"""What a person asked for and cannot have. The docstring of a refusal is the message they read."""

from __future__ import annotations


class Refused(Exception):
    """The state of the row does not allow this."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{type(self).__doc__} {detail}".strip())
