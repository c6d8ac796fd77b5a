"""How a call that cannot be answered ends: a code of gRPC and a line, whichever protocol it came by."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "CANCELLED", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "UNKNOWN",
]  # fmt: skip

#: As TensorFlow Serving's REST server maps them (http_server.cc), but full is 503, as it is of all our servers.
HTTP_STATUS: dict[str, int] = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 503,
    "FAILED_PRECONDITION": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "UNKNOWN": 500,
}


class StatusError(Exception):
    """A call ends with `code` and `message`, one line for the caller."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message

    @property
    def is_refusal(self) -> bool:
        """Whether the call was not begun because too many are waiting."""
        return self.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
