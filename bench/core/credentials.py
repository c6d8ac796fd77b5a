"""Secrets that people put into what they type: they are of no use to a record, and records are handed on."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#'\"]+@")


def mask_credentials(text: str) -> str:
    """`text` with user and password of every URL in it replaced by `***`."""
    return _USER_INFO.sub(r"\g<scheme>***@", text)
