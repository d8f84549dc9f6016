from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sensors import onboarding
from sensors.families import Refresh
from sensors.models import Membership


class Command(BaseCommand):
    help = "Make a first site, its administrator, and a client that may send readings, with a token for it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", default="main", metavar="SLUG", help="Short name of the site (default: main).")
        parser.add_argument("--name", default="", help="Full name of the site.")
        parser.add_argument("--time-zone", default="UTC", help="IANA name, such as Europe/Rome.")
        parser.add_argument("--admin", default="admin", help="User name of the administrator (default: admin).")
        parser.add_argument("--email", default="", help="The administrator's mail address.")
        parser.add_argument("--new-passwords", action="store_true", help="Give accounts that exist new passwords.")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        slug = options["site"]
        try:
            site, made = onboarding.site(slug=slug, name=options["name"] or slug, time_zone=options["time_zone"])
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        admin = onboarding.administrator(options["admin"], email=options["email"])
        client = onboarding.member(f"{slug}-ingest", site=site, role=Membership.Role.INGEST)
        if options["new_passwords"]:
            admin, client = onboarding.new_password(admin.user), onboarding.new_password(client.user)
        self.stdout.write(f"Site           {site.slug} ({site.name}), {'made' if made else 'was there'}")
        self._tell("Administrator", admin)
        self._tell("Ingest client", client)
        token = Refresh.for_user(client.user)
        self.stdout.write(f"Refresh token of the ingest client (a day):\n{token}")
        self.stdout.write(f"Access token of the ingest client (some minutes):\n{token.access_token}")

    def _tell(self, who: str, person: onboarding.Person) -> None:
        password = person.password or "(kept; --new-passwords makes a new one)"
        self.stdout.write(f"{who:14} {person.user.get_username()}, password {password}")
