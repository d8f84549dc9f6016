"""Django's Postgres with its metrics, and a kept connection that is looked at without asking the server."""

from __future__ import annotations

import select
from typing import Any

from django_prometheus.db.backends.postgresql import base

from sensors import walls


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # the package has no types
    """A server that ends a connection says so, and a restart closes it: then there is something to read.

    While there is not, the connection is as good as a query could tell, which costs a tenth of a small request. One
    that is gone without a word, the keepalives find.
    """

    connection: Any
    errors_occurred: bool
    settings_dict: dict[str, Any]
    execute_wrappers: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.settings_dict.get("WALLED"):
            self.execute_wrappers.append(walls.hold)

    def is_usable(self) -> bool:
        if self.connection is not None and not self.connection.closed and not self.errors_occurred:
            socket = select.poll()
            socket.register(self.connection, select.POLLIN)
            if not socket.poll(0):
                return True
        return bool(super().is_usable())
