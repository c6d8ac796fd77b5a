"""Canonical JSON, content hashes and readable identifiers: the same meaning always gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any

_SLUG_FORBIDDEN = re.compile(r"[^a-z0-9_.-]+")
_SLUG_MAX_CHARS = 80


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no blanks and no NaN, so equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, *, length: int = 64) -> str:
    """Hex sha256 of the canonical JSON of `value`, cut to `length` characters."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def slug(text: str) -> str:
    """A file-name-safe, lower-case form of `text`; never empty, never a path, at most 80 characters."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    cleaned = _SLUG_FORBIDDEN.sub("-", ascii_text).strip("-.")
    return cleaned[:_SLUG_MAX_CHARS].rstrip("-.") or "x"
