from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from plant.models import Machine, Sensor


class Command(BaseCommand):
    help = "The tables, machines with ten sensors each, and a client."

    def add_arguments(self, parser):
        parser.add_argument("machines", type=int)
        parser.add_argument("high", type=float)
        parser.add_argument("username")
        parser.add_argument("password")

    def handle(self, *, machines, high, username, password, **_):
        call_command("migrate", verbosity=0)
        call_command("migrate", run_syncdb=True, verbosity=0)  # what has no migrations refers to what has
        get_user_model().objects.create_user(username, "", password)
        made = Machine.objects.bulk_create(Machine(name=f"m{number:03d}") for number in range(machines))
        Sensor.objects.bulk_create(
            Sensor(machine=machine, name=f"{machine.name}.s{number}", high=high)
            for machine in made
            for number in range(10)
        )
