from celeryapp import app as celery
from django.core.wsgi import get_wsgi_application

celery.set_default()
application = get_wsgi_application()
