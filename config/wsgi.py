"""The web server's door."""

import os

from django.core.wsgi import get_wsgi_application

from config import slow_bodies
from sensors import signing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = slow_bodies.guarded(get_wsgi_application())
signing.refuse_faults()

from config import checks  # noqa: E402 - it needs the apps

checks.refuse_unsafe()
