"""The work orders of five excavators: files, mappings, and the times between failures from the files alone."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from maintenance.kpi_groups import NO_PART
from tests.bench import results

FOLDER = results.DATA / "excavators"
MAPPINGS = Path(__file__).with_name("history")
FILES = (("labelled_ABC.csv", "excavators_abc.json"), ("raw_DE.csv", "excavators_de.json"))
START, END = datetime(2001, 7, 5, tzinfo=UTC), datetime(2012, 12, 14, tzinfo=UTC)
HOUR = 3_600.0


def intervals() -> dict[str, list[tuple[float, bool]]]:
    """Hours from one failure of a machine's system to the next, and whether that came: from the files alone."""
    days: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for file, _ in FILES:
        with (FOLDER / file).open(encoding="utf-8-sig", newline="") as lines:
            for line in csv.DictReader(lines):
                if line["PMType"].strip() == "PM01":
                    at = datetime.fromisoformat(line["BscStartDate"].strip()).replace(tzinfo=UTC)
                    days[line.get("MajorSystem", "").strip() or NO_PART, line["Asset"].strip()].append(at)
    found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for (system, _), at in days.items():
        ends = [*sorted(at), END]
        found[system] += [
            ((ends[n + 1] - ends[n]).total_seconds() / HOUR, n + 2 < len(ends)) for n in range(len(at))
        ]  # fmt: skip
    return found
