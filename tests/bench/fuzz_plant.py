"""What the fuzzed server holds: a site with rows of every kind, an operator of all sites and people of this one.

python -m tests.bench.fuzz_plant        prints the password of each as JSON
"""

from __future__ import annotations

import json
import sys

from django.core.management import call_command

from mlops.models import Question
from sensors import onboarding
from sensors.models import Membership
from tests import factories, plant

OPERATOR, ADMIN, READER = "operator", "ada", "vera"
ROLES = {ADMIN: Membership.Role.ADMIN, READER: Membership.Role.VIEWER}
MACHINES = 3
TAGS, HIGH = ("pump-7", "fan-2"), 40.0
"""Machines with one sensor each, called ``pump-7/flow``."""


def make() -> dict[str, str]:
    """The tables, and in them the plant; the password of each person by name."""
    call_command("migrate", verbosity=0)
    site = factories.site(slug="works", name="Works")
    for _ in range(MACHINES):
        plant.rows(site)
    for tag in TAGS:
        machine = factories.machine(site=site, tag=tag, name=tag, criticality="CRITICAL")
        factories.sensor(machine=machine, external_id=f"{tag}/flow", name="Flow", unit="l/s", high=HIGH)
    made = {OPERATOR: onboarding.administrator(OPERATOR)}
    made |= {name: onboarding.member(name, site=site, role=role) for name, role in ROLES.items()}
    Question.objects.create(kind="PREDICT", name="wear", asked_by=made[READER].user, asked={})
    return {name: person.password or "" for name, person in made.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(make()) + "\n")
