"""pydantic's errors in the words of this program."""

from __future__ import annotations

import re
from typing import Any

from .problems import show_value

_WORDS = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "list_type": "must be a list, such as [1, 8]",
    "tuple_type": "must be a list, such as [1, 8]",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}
_LENGTHS = {"too_short": "at least {min_length}", "too_long": "at most {max_length}"}
_QUOTED = re.compile(r"'([^']*)'")


def wording(details: Any) -> tuple[str, tuple[str, ...]]:
    """The text for one entry of `ValidationError.errors()`, and the names that would have been right."""
    kind, context, found = details["type"], details.get("ctx", {}), show_value(details["input"])
    if kind == "missing":
        return f"{details['loc'][-1]} is required", ()
    if kind == "literal_error" and _QUOTED.search(context["expected"]):
        return f"{found} is not a known value", tuple(_QUOTED.findall(context["expected"]))
    if kind in _LENGTHS:
        return f"must hold {_LENGTHS[kind].format(**context)}, not {context['actual_length']}", ()
    if kind in _WORDS:
        return f"{_WORDS[kind].format(**context)}, not {found}", ()
    return f"{details['msg'].replace('Input should be', 'must be')}, not {found}", ()
