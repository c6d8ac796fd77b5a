"""Messages of the serving protocols, byte for byte those of the generated modules, and free of all that these import.

`tensorflow`, `serving`, `inference` ... are namespaces of message classes: `serving.PredictRequest()`.
"""

from __future__ import annotations

from . import tables
from .schema import packages

_PACKAGES = packages(
    {
        "google.protobuf": tables.GOOGLE,
        "tensorflow.error": tables.TENSORFLOW_ERROR,
        "tensorflow": tables.TENSORFLOW,
        "tensorflow.serving": tables.TENSORFLOW_SERVING,
        "inference": tables.INFERENCE,
        "grpc.health.v1": tables.GRPC_HEALTH,
    }
)

tensorflow_error = _PACKAGES["tensorflow.error"]
tensorflow = _PACKAGES["tensorflow"]
serving = _PACKAGES["tensorflow.serving"]
inference = _PACKAGES["inference"]
health = _PACKAGES["grpc.health.v1"]
