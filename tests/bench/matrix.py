"""Who is let in where, as measured: every operation of the router by every role, a stranger, nobody (`make matrix`)."""

from __future__ import annotations

import logging
import sys
import time

from django.db import connection, transaction
from django.test.utils import setup_test_environment

from config import embedded
from sensors import permissions
from tests import matrix
from tests.bench import results
from tests.bench.results import row


def main() -> int:
    embedded.ensure_needed()
    setup_test_environment()
    logging.disable(logging.CRITICAL)
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        began = time.perf_counter()
        with transaction.atomic():
            cells = matrix.measure()
            transaction.set_rollback(True)
        seconds = time.perf_counter() - began
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.wide(matrix.lines(cells))
    rows = figures(cells, seconds)
    results.show(rows)
    for cell in cells:
        if cell.wrong:
            sys.stdout.write(f"{cell.wrong}\n")
    results.keep("matrix", rows)
    return int(not all(found["ok"] is not False for found in rows))


def figures(cells: list[matrix.Cell], seconds: float) -> list[dict[str, object]]:
    refused = [cell for cell in cells if not cell.may]
    undeclared = {cell.operation for cell in cells if cell.operation.takes is None}
    wrong = [cell for cell in cells if cell.wrong]
    touched = [cell for cell in refused if cell.touched]
    asked = f"{len({cell.operation for cell in cells})} operations, {len(matrix.CALLERS)} callers"
    return [
        row("operations without a policy", len(undeclared), "operations", goal=0, ok=not undeclared, detail=asked),
        row("answers other than the table says", len(wrong), f"of {len(cells)}", goal=0, ok=not wrong),
        row("refused requests that touched a row", len(touched), f"of {len(refused)}", goal=0, ok=not touched),
        row("permissions", len(permissions.TABLE), "names"),
        row("measured in", seconds, "s"),
    ]


if __name__ == "__main__":
    sys.exit(main())
