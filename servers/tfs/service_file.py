"""The file that makes a directory a version of any artifact, whatever its format: a Service as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.core.errors import TargetError
from bench.core.files import write_atomic
from bench.core.serving import Service

SERVICE_FILE = "deploybench_model.json"


def write_service(directory: Path, service: Service) -> None:
    """Make `directory`, which must be there, a version of `service`."""
    write_atomic(directory / SERVICE_FILE, msgspec.json.format(msgspec.json.encode(service)))


def read_service(directory: Path) -> Service:
    """What `write_service` wrote; TargetError when it cannot be read."""
    path = directory / SERVICE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Service)
    except (OSError, msgspec.MsgspecError) as error:
        raise TargetError(f"{path}: not a model to be served: {error}") from error
