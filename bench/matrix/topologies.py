"""How a matrix names topologies: a name, or a name with options, of which each may be a list of alternatives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from bench.core import plugins
from bench.core.artifact import Options
from bench.core.errors import PluginError

from .checks import check_name, check_options
from .shapes import PluginWords, prefixed, refuse, words


@dataclass(frozen=True, kw_only=True, slots=True)
class TopologyChoice:
    """A point of the axis `topology`."""

    name: str
    options: Options = ()

    @property
    def is_in_process(self) -> bool:
        """Whether there is no server and no wire; one that cannot be imported here is taken for a server."""
        try:
            return bool(plugins.load("topologies", self.name).is_in_process)
        except PluginError:
            return False

    def covers(self, other: TopologyChoice) -> bool:
        """Whether a rule that names this speaks of `other`: the same name, and every option that it gives."""
        return self.name == other.name and set(self.options) <= set(other.options)


def choices(item: str | Mapping[str, Any]) -> tuple[TopologyChoice, ...]:
    """Every combination of the alternatives in `name` or `{name: {option: value or list}}`."""
    name, options = words(item)
    return tuple(TopologyChoice(name=name, options=tuple(sorted(each.items()))) for each in _combinations(options))


def _combinations(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    alternatives = [value if isinstance(value, list | tuple) else [value] for value in options.values()]
    for values in itertools.product(*alternatives):
        yield dict(zip(options, values, strict=True))


def _check_topology(item: str | dict[str, Any], info: ValidationInfo) -> str | dict[str, Any]:
    if info.context is not None:
        name, options = words(item)
        findings = check_name("topologies", name)
        if not findings:
            told = [check_options("topologies", name, each) for each in _combinations(options)]
            findings = list(dict.fromkeys(finding for each in told for finding in each))
        refuse(prefixed(item, findings))
    return item


TopologyWords = Annotated[PluginWords, AfterValidator(_check_topology)]
