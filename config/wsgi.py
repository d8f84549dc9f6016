"""The web server's door."""

import os

from django.core.wsgi import get_wsgi_application

from sensors import signing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
signing.refuse_faults()
