from django.apps import AppConfig

from agents import version


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = "Pipeline"

    def ready(self) -> None:
        version.current()  # of the source that this process was started from, not of what lies there later
