"""Names and options against the plug-in tables: only table lines and light plug-in modules are read, no framework."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.core import plugins
from bench.core.errors import PluginError

from .problems import Finding, show_value
from .wording import wording

#: kind -> what one plug-in of it is called in a message.
_ONE_OF = {"steps": "step", "adapters": "adapter", "topologies": "topology", "models": "model"}


def check_name(kind: str, name: str) -> list[Finding]:
    """Nothing, or that no plug-in of the kind has this name."""
    known = plugins.table(kind)
    if name in known:
        return []
    text = f"{show_value(name)} is not a known {_ONE_OF[kind]}"
    return [Finding(text=text, wrong=name, known=tuple(known))]


def check_options(kind: str, name: str, options: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the options of a known plug-in; nothing is said when its package is missing, for then the
    cell is skipped by the plan, which names the package."""
    findings = [
        Finding(text=f"must be a number, a word, true or false, or a list of these, not {show_value(value)}", at=(key,))
        for key, value in options.items()
        if not _is_option(value)
    ]
    if findings:
        return findings
    adapter, known = _options_adapter(kind, name)
    if adapter is None:
        return []
    try:
        # JSON because strict validation takes a list for a tuple only there.
        adapter.validate_json(json.dumps(dict(options)), strict=True, extra="forbid")
    except ValidationError as error:
        return [_option_finding(details, known) for details in error.errors(include_url=False)]
    return []


def check_chain(source: str, steps: Sequence[str], adapter: str) -> tuple[int, str] | None:
    """The first link of a chain of known plug-ins that does not take the format that reaches it: its index (the
    adapter's is the number of steps) and what is wrong; None when all fit."""
    format = source
    links = [plugins.table("steps")[name] for name in steps] + [plugins.table("adapters")[adapter]]
    for index, link in enumerate(links):
        if link.accepts and format not in link.accepts:
            accepted = " or ".join(link.accepts)
            return index, f"{link.name} takes {accepted}, but {format} arrives here"
        format = link.produces or format
    return None


def _is_option(value: Any) -> bool:
    scalar = (bool, int, float, str)
    return isinstance(value, scalar) or (isinstance(value, list) and all(isinstance(item, scalar) for item in value))


def _options_adapter(kind: str, name: str) -> tuple[TypeAdapter[Any] | None, tuple[str, ...]]:
    """The validator of a plug-in's options and the names of its options; None where it cannot be imported here."""
    try:
        plugin = plugins.load(kind, name)
    except PluginError:
        return None, ()
    return TypeAdapter(plugin.Options), tuple(field.name for field in fields(plugin.Options))


def _option_finding(details: Any, known: tuple[str, ...]) -> Finding:
    at = tuple(details["loc"])
    if details["type"] == "unexpected_keyword_argument":
        wrong = str(at[-1])
        return Finding(text="unknown option", at=at, at_key=True, wrong=wrong, known=known)
    text, suggested = wording(details)
    return Finding(text=text, at=at, known=suggested, wrong=str(details["input"]))
