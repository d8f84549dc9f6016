from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from config import checks, logging

__all__ = ["ConfigConfig", "checks"]


class ConfigConfig(AppConfig):
    name = "config"
    label = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        if settings.LOG_JSON:
            logging.tell_last_words()
        if settings.OTEL_EXPORTER_OTLP_ENDPOINT:  # else nobody waits for what it imports
            import_module("config.otel").install()
