"""The same job as it is commonly built: DRF, the ORM, and a Celery task for each stage and request.

Fair to it: connections to the database are kept (in the workers too, which Celery would close after each task), results
are not stored, messages are small, what is written is written in bulk, passwords are not hashed per request.
Nothing of Bellwether is imported here.
"""

import os
from datetime import timedelta

SECRET_KEY = os.environ["PLAIN_SECRET"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "plant"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PLAIN_DATABASE"],
        "HOST": os.environ["PLAIN_HOST"],
        "USER": "postgres",
        "CONN_MAX_AGE": 600,
    }
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 50_000_000
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}
SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=60), "UPDATE_LAST_LOGIN": False}
CELERY_BROKER_URL = os.environ["PLAIN_BROKER"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_DB_REUSE_MAX = 10_000
CELERY_TASK_ROUTES = {
    f"plant.{stage}": {"queue": stage} for stage in ("ingest", "validate", "detect", "decide", "notify")
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
