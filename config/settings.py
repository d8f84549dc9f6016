"""Settings, from the environment alone (see ``.env.example``); development values hold only outside production."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.conf import global_settings

from config import addresses, appearance, embedded, enum_names, env, headers, logging, redaction

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = embedded.HOME
PRODUCTION = env.flag("BELLWETHER_PRODUCTION", default=False)


def _secret(name: str) -> str:
    """In production it must be given; elsewhere one of this installation's own is made and kept."""
    return env.text(name) if PRODUCTION else env.optional(name) or embedded.keep_secret(name)


SECRET_KEY = _secret("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", [])
DEBUG = False
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", [] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [])
PUBLIC_URL = env.text("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")

DATABASE_URL = env.text("DATABASE_URL") if PRODUCTION else env.optional("DATABASE_URL") or embedded.database_url()
REDIS_URL = env.text("REDIS_URL") if PRODUCTION else env.optional("REDIS_URL") or embedded.redis_url()
# The web server connects as a role of its own, which row security holds to the sites of whoever asks.
DATABASE_WEB_ROLE = "bellwether_web"
DATABASE_WEB_URL = env.optional("DATABASE_WEB_URL") or (
    None if env.optional("DATABASE_URL") else embedded.database_url(user=DATABASE_WEB_ROLE)
)
IS_WEB = env.text("BELLWETHER_ROLE", "") == "web"
DATABASES = {
    "default": addresses.database(DATABASE_WEB_URL) | {"WALLED": True}
    if IS_WEB and DATABASE_WEB_URL
    else addresses.database(DATABASE_URL)
}

INSTALLED_APPS = [
    "django_prometheus",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "axes",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "csp",
    "config",
    "sensors",
    "mlops",
    "maintenance",
    "agents",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "config.middleware.Correlation",
    "config.middleware.Walls",
    "config.middleware.Limits",
    "django.middleware.security.SecurityMiddleware",
    "config.packing.Packing",
    "config.headers.Headers",
    "config.headers.ContentPolicy",
    "config.middleware.Trail",
    "config.middleware.StaticFiles",
    "config.middleware.Sessions",
    "config.middleware.Common",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.middleware.Authentication",
    "config.middleware.Visits",
    "config.middleware.SecondFactor",
    "config.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.Log",
    "config.middleware.Metrics",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": env.optional("CACHE_URL") or REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "sensors.audit_requests.PasswordChanges"},
]

# Log-in of people: sessions, their second factor, and when trying passwords is over for a while (sensors.lockout).
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
SESSION_ENGINE = "sensors.sessions"
SESSION_COOKIE_AGE = env.integer("SESSION_HOURS", 12, minimum=1) * 3_600
SESSION_IDLE_MINUTES = env.integer("SESSION_IDLE_MINUTES", 60, minimum=1)
ADMIN_TOTP = env.flag("ADMIN_TOTP", default=PRODUCTION)
OTP_TOTP_ISSUER = "Bellwether"
AXES_HANDLER, AXES_LOCKOUT_PARAMETERS = "sensors.lockout.Handler", [["username", "ip_address"]]
AXES_FAILURE_LIMIT, AXES_COOLOFF_TIME = 5, timedelta(minutes=env.integer("LOCKOUT_MINUTES", 15, minimum=1))
AXES_CLIENT_IP_CALLABLE, AXES_USERNAME_CALLABLE = "sensors.lockout.address", "sensors.lockout.username"
AXES_RESET_ON_SUCCESS, AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = True, False
AXES_ENABLE_ADMIN, AXES_VERBOSE, AXES_LOCKOUT_TEMPLATE = False, False, "admin/locked.html"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
FORMAT_MODULE_PATH = ["config.formats"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_REDIRECT_URL = "admin:index"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None  # elsewhere files are served from where they lie
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# Cookies, headers and TLS. A proxy in front must end TLS and set (never pass on) X-Forwarded-Proto.
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("BEHIND_TLS_PROXY", default=PRODUCTION) else None
)
# So many proxies in front add to X-Forwarded-For; what stands before theirs is not believed. 0: the header is not read.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0, minimum=0)
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = headers.POLICY
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if PRODUCTION:  # a browser takes such a cookie over TLS alone, and from no other host of the domain
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
X_FRAME_OPTIONS = "DENY"

# Files at work orders: where they lie, and how large one may be; then what an ingest request may be.
MEDIA_ROOT, FILE_UPLOAD_PERMISSIONS = Path(env.text("ATTACHMENTS_DIR", str(HOME / "attachments"))), 0o600
FILE_UPLOAD_HANDLERS = ["sensors.uploads.Bounded", *global_settings.FILE_UPLOAD_HANDLERS]
ATTACHMENT_MAX_BYTES = env.integer("ATTACHMENT_MAX_BYTES", 10_000_000, minimum=1_000)
DATA_UPLOAD_MAX_MEMORY_SIZE = env.integer("INGEST_MAX_BYTES", 5_000_000, minimum=1_000)
INGEST_MAX_READINGS = env.integer("INGEST_MAX_READINGS", 10_000, minimum=1)
INGEST_MAX_DAYS = env.integer("INGEST_MAX_DAYS", 366, minimum=1)
INGEST_MAX_FUTURE_SECONDS = env.integer("INGEST_MAX_FUTURE_SECONDS", 300, minimum=0)
READINGS_RETENTION_DAYS = env.integer("READINGS_RETENTION_DAYS", 7_300, minimum=1)
READINGS_COMPACT_AFTER_DAYS = env.integer("READINGS_COMPACT_AFTER_DAYS", 2, minimum=1)

# When the intake says "later": what may wait (503), and what may be sent a second (429; 0 = no quota).
INTAKE_MAX_BACKLOG_SECONDS = env.integer("INTAKE_MAX_BACKLOG_SECONDS", 60, minimum=1)
INTAKE_MAX_BACKLOG_READINGS = env.integer("INTAKE_MAX_BACKLOG_READINGS", 2_000_000, minimum=1)
INTAKE_CLIENT_READINGS_PER_SECOND = env.integer("INTAKE_CLIENT_READINGS_PER_SECOND", 0, minimum=0)
INTAKE_SITE_READINGS_PER_SECOND = env.integer("INTAKE_SITE_READINGS_PER_SECOND", 0, minimum=0)

METRICS_TOKEN = env.optional("METRICS_TOKEN")
# A worker's or the sweep's own figures; web shows its at /metrics. 0: it shows none.
METRICS_PORT, METRICS_HOST = env.integer("METRICS_PORT", 0, minimum=0), env.text("METRICS_HOST", "127.0.0.1")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["sensors.callers.Bearer", "sensors.callers.Key"],
    "DEFAULT_PERMISSION_CLASSES": ["sensors.policy.Declared"],
    "DEFAULT_THROTTLE_CLASSES": ["agents.request_limits.Requests"],
    "DEFAULT_RENDERER_CLASSES": ["sensors.problems.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "sensors.negotiation.ByAccept",
    "DEFAULT_PARSER_CLASSES": ["sensors.bodies.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "sensors.paging.ByIdPagination",
    "DEFAULT_SCHEMA_CLASS": "sensors.schema.Schema",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS: the description says what can be asked
    "EXCEPTION_HANDLER": "sensors.problems.handle",
    "PAGE_SIZE": 100,
    "UNAUTHENTICATED_USER": None,
}

# One key signs; those of before hold until their tokens have run out (a day). A log-in ends after so many days.
JWT_ISSUER = "bellwether"
JWT_PREVIOUS_KEYS = env.words("JWT_PREVIOUS_KEYS", [])
JWT_SESSION_DAYS = env.integer("JWT_SESSION_DAYS", 30, minimum=1)
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": _secret("JWT_SIGNING_KEY"),
    "ISSUER": JWT_ISSUER,
    "AUDIENCE": JWT_ISSUER,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.integer("JWT_ACCESS_MINUTES", 5, minimum=1)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "CHECK_REVOKE_TOKEN": True,
    "UPDATE_LAST_LOGIN": False,
    "AUTH_TOKEN_CLASSES": ["sensors.families.Access"],
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Bellwether",
    "DESCRIPTION": "Predictive maintenance: readings in, anomalies, alarms and work orders out.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["sensors.policy.Declared"],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": enum_names.NAMES,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "sensors.samples.add"],
}

UNFOLD = appearance.UNFOLD

RATELIMIT_USE_CACHE = "default"
RATELIMIT_FAIL_OPEN = True  # Redis down must not stop the intake (P9); the password hasher bounds guessing meanwhile
# Requests of the API in a window, by whose they are, or none. Each login and each link has its own besides.
REQUEST_RATES = {
    "client": env.rate("REQUEST_CLIENT_RATE", "6000/m"),
    "device": env.rate("REQUEST_DEVICE_RATE", "1200/m"),
    "ingest": env.rate("REQUEST_INGEST_RATE", "none"),
    "site": env.rate("REQUEST_SITE_RATE", "60000/m"),
    "address": env.rate("REQUEST_ADDRESS_RATE", "1200/m"),
}
LOGIN_RATE, LINK_RATE = env.text("LOGIN_RATE", "10/m"), env.text("LINK_RATE", "30/m")
NOTICE_LINK_HOURS = env.integer("NOTICE_LINK_HOURS", 48, minimum=1)  # so long a link in a message works

# Mail: what the e-mail channel sends through.
EMAIL_HOST = env.text("EMAIL_HOST", "127.0.0.1")
EMAIL_PORT = env.integer("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=PRODUCTION)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "bellwether@localhost")

# Webhooks may reach public addresses only, unless networks are allowed by name (a receiver on the plant's own net).
WEBHOOK_ALLOWED_NETWORKS = env.words("WEBHOOK_ALLOWED_NETWORKS", [])

# The live stream is served by a process of its own: at this address, at this port of a node (0: none is run).
LIVE_URL, LIVE_PORT = env.text("LIVE_URL", "").rstrip("/"), env.integer("LIVE_PORT", 8001, minimum=0)
LIVE_STREAMS = env.integer("LIVE_STREAMS", 500, minimum=1)
LIVE_STREAMS_OF_A_USER = env.integer("LIVE_STREAMS_OF_A_USER", 10, minimum=1)

# The flow. A lease outlives the hard time limit, so that work is never taken over while it still runs.
LEASE_SECONDS = env.integer("LEASE_SECONDS", 45, minimum=3)
CELERY_TASK_TIME_LIMIT = LEASE_SECONDS * 2 // 3
CELERY_TASK_SOFT_TIME_LIMIT = LEASE_SECONDS * 4 // 9
RUN_MAX_READINGS = env.integer("RUN_MAX_READINGS", 200_000, minimum=1)
RUN_LANES = env.integer("RUN_LANES", 32, minimum=1)
SWEEP_SECONDS = env.integer("SWEEP_SECONDS", 1, minimum=1)

# Silence: a sensor that has a period is missed when nothing current arrived for so many periods, and so long at least.
SILENT_PERIODS = env.integer("SILENT_PERIODS", 10, minimum=1)
SILENT_MIN_SECONDS = env.integer("SILENT_MIN_SECONDS", 300, minimum=1)
HEARTBEAT_URL = env.optional("HEARTBEAT_URL")

# Work orders: a fault that comes back within so many hours opens the completed order again. 0 = it has a new one.
ORDER_REOPEN_HOURS = env.integer("ORDER_REOPEN_HOURS", 72, minimum=0)
# The schedule: the solver's time limit, points for each visit moved, and how long an order takes if nobody said so.
SCHEDULE_SECONDS = env.integer("SCHEDULE_SECONDS", 30, minimum=1)
SCHEDULE_MOVE_COST = env.integer("SCHEDULE_MOVE_COST", 600, minimum=0)
SCHEDULE_MINUTES = env.integer("SCHEDULE_MINUTES", 60, minimum=1)

# Models: data sets they are taught from; opened versions, on disk and in memory; how long a training may take.
ML_DATA_DIR = Path(env.text("ML_DATA_DIR", str(HOME / "data")))
ML_CACHE_DIR = Path(env.text("ML_CACHE_DIR", str(HOME / "model-cache")))
ML_CACHE_BYTES = env.integer("ML_CACHE_BYTES", 200_000_000, minimum=1)
ML_CACHE_SECONDS = env.integer("ML_CACHE_SECONDS", 3_600, minimum=1)
TRAINING_SECONDS = env.integer("TRAINING_SECONDS", 3_600, minimum=10)
# A question over REST is waited for so long; after that its answer is at an address of its own.
ML_ANSWER_SECONDS = env.integer("ML_ANSWER_SECONDS", 5, minimum=0)
# What models said of machines is kept so long.
ML_PREDICTIONS_DAYS = env.integer("ML_PREDICTIONS_DAYS", 90, minimum=1)

# Backups: where they go (a folder, or s3://bucket/prefix; none: nothing is backed up), age's public key for which they
# are encrypted, how often a whole one is made, how long they are kept, and how soon what is written is shipped.
BACKUP_TO, BACKUP_RECIPIENT = env.optional("BACKUP_TO"), env.optional("BACKUP_RECIPIENT")
BACKUP_HOURS, BACKUP_DAYS = env.integer("BACKUP_HOURS", 24, minimum=1), env.integer("BACKUP_DAYS", 30, minimum=1)
BACKUP_SHIP_SECONDS = env.integer("BACKUP_SHIP_SECONDS", 5, minimum=1)
READINESS_FILE = HOME / "bench" / "readiness.json"  # as ``make readiness`` writes it
BACKUP_SPOOL = Path(env.text("BACKUP_SPOOL", str(HOME / "spool")))
POSTGRES_BIN = env.optional("POSTGRES_BIN")

# Shelving: how long a person may hide an alarm at most, and how long before its end those concerned are told.
SHELVE_MAX_HOURS = env.integer("SHELVE_MAX_HOURS", 24, minimum=1)
SHELVE_NOTICE_SECONDS = env.integer("SHELVE_NOTICE_SECONDS", 600, minimum=0)
# How long, at most, a rule may let the state of a machine (off, start-up) hide alarms at a time.
STATE_HIDES_MAX_HOURS = env.integer("STATE_HIDES_MAX_HOURS", 744, minimum=1)

# Trained models: where their files lie, and the MLflow server that records them: one that is named, or this node's.
ML_ARTIFACTS = addresses.artifacts(env.text("ML_ARTIFACTS", str(HOME / "models")))
ML_ARTIFACT_MAX_BYTES = env.integer("ML_ARTIFACT_MAX_BYTES", 200_000_000, minimum=1_000)
S3_ENDPOINT_URL, S3_REGION = env.optional("S3_ENDPOINT_URL"), env.text("S3_REGION", "us-east-1")
S3_ACCESS_KEY, S3_SECRET_KEY = env.optional("S3_ACCESS_KEY"), env.optional("S3_SECRET_KEY")
_named = env.optional("MLFLOW_TRACKING_URI")
MLFLOW_PORT = 0 if _named else env.integer("MLFLOW_PORT", 5050, minimum=0)  # 0: this node runs no server
MLFLOW_TRACKING_URI = _named or (f"http://127.0.0.1:{MLFLOW_PORT}" if MLFLOW_PORT else None)
MLFLOW_TRACKING_USERNAME = env.text("MLFLOW_TRACKING_USERNAME", "bellwether")
MLFLOW_TRACKING_PASSWORD = (
    _secret("MLFLOW_TRACKING_PASSWORD") if MLFLOW_PORT else env.optional("MLFLOW_TRACKING_PASSWORD")
)
MLFLOW_DATABASE_URL = env.optional("MLFLOW_DATABASE_URL")

FLOWER_USER = env.text("FLOWER_USER", "operator")
FLOWER_PASSWORD = _secret("FLOWER_PASSWORD")

CELERY_BROKER_URL = env.optional("CELERY_BROKER_URL") or addresses.broker(REDIS_URL)
DJANGO_STRUCTLOG_CELERY_ENABLED = False
# Traces go to a collector (OTLP over HTTP), errors to Sentry, where there is one.
OTEL_EXPORTER_OTLP_ENDPOINT = env.optional("OTEL_EXPORTER_OTLP_ENDPOINT")
SENTRY_DSN = env.optional("SENTRY_DSN")
SENTRY_ENVIRONMENT = env.text("SENTRY_ENVIRONMENT", "production" if PRODUCTION else "development")
LOG_JSON, LOG_LEVEL = PRODUCTION or env.flag("LOG_JSON", default=False), env.text("LOG_LEVEL", "INFO")
SECRETS = redaction.secrets_of(env.given() | globals())
LOGGING = logging.configure(json=LOG_JSON, level=LOG_LEVEL, secrets=SECRETS, reports=SENTRY_DSN is not None)
LOGGING_CONFIG = "logging.config.dictConfig"
