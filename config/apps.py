from django.apps import AppConfig

from config import checks

__all__ = ["ConfigConfig", "checks"]


class ConfigConfig(AppConfig):
    name = "config"
    label = "config"
    verbose_name = "Configuration"
