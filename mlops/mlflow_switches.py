"""What MLflow is told wherever it is imported, by server and client alike; it must stand in the environment before."""

from __future__ import annotations

SAFE = {
    # Nothing that was trained is opened by MLflow; should anything ask it to, pickles are refused.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # MLflow 3.18 and later: neither pickles nor code that comes with a model. 3.17 does not know it yet.
    "MLFLOW_ALLOW_MODEL_CODE_EXECUTION": "false",
    # Jobs and scorers run code on the server; the gateway and the icons of servers make it call out.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

CLIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # What is sent again may be done twice. Whoever calls tries again, and finds what was done.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
