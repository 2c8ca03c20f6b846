"""The pipeline's stages, one module each, and the command line."""

import os

# Read by the libraries when they are imported or started, hence set before any of them: no stage reports home
# unless the user says so.
for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
}.items():
    os.environ.setdefault(_name, _value)
