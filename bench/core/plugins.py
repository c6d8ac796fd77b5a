"""Lazy tables of plug-ins: names and facts are plain data, the module is imported at first use.

A table is a tuple of `PluginSpec` beside the plug-ins it lists, sorted by name. Other distributions add lines through
entry points: group `deploybench.<kind>`, value an object reference to a `PluginSpec`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from .errors import MatrixError, MissingPackage, PluginError

#: kind -> "module:ATTRIBUTE" of its built-in table.
TABLES: Mapping[str, tuple[str, ...]] = {
    "models": ("bench.zoo:MODELS",),
    "steps": ("optimizers:STEPS", "converters:STEPS"),
    "adapters": ("bench.adapters:ADAPTERS",),
    "topologies": ("servers:TOPOLOGIES",),
    "limiters": ("bench.limits:LIMITERS",),
    "profilers": ("bench.profile:PROFILERS",),
}

#: import name -> the distribution that brings it, where the two differ.
_DISTRIBUTIONS: Mapping[str, str] = {
    "ai_edge_litert": "ai-edge-litert",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "sklearn": "scikit-learn",
    "tensorrt_rtx": "tensorrt-rtx",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginSpec:
    """One table line, readable without importing what it names.

    `needs` are import names of packages, `needs_one_of` of such that can stand for each other, the last one the easiest
    to install; `accepts` are artifact formats (steps, adapters), for zoo models the
    formats offered, for profilers the adapters they look into (none named: every adapter); `produces` is a step's
    output format, empty when it keeps the input's; `learns_from` says whether a step must be given examples, with or
    without labels; `for_this_cpu` and `for_this_gpu` that what it makes suits the device that it ran on. What else
    decides its results, where it is there: `uses`, import names of packages, and `programs` that it runs.
    """

    name: str
    target: str  # "package.module:Attribute"
    summary: str
    needs: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    accepts: tuple[str, ...] = ()
    produces: str = ""
    learns_from: Literal["", "inputs", "labels"] = ""
    needs_one_of: tuple[str, ...] = ()
    for_this_cpu: bool = False
    for_this_gpu: bool = False
    uses: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def missing_packages(self) -> tuple[str, ...]:
        """Needed packages that are not installed, without importing any."""
        missing = tuple(name for name in self.needs if not _is_installed(name))
        has_one = not self.needs_one_of or any(map(_is_installed, self.needs_one_of))
        return missing if has_one else (*missing, self.needs_one_of[-1])

    def used_packages(self) -> tuple[str, ...]:
        """What decides the plug-in's results: all of `needs`, and those of `needs_one_of` and `uses` that are here."""
        return (*self.needs, *filter(_is_installed, (*self.needs_one_of, *self.uses)))

    @property
    def is_disabled(self) -> bool:
        """Whether it is an entry point that could not be loaded; `summary` says why."""
        return not self.target


@cache
def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: a module whose __spec__ is None
        return False


def install_hint(packages: Iterable[str]) -> str:
    """The command that installs packages named by their import names."""
    return f"pip install {' '.join(_DISTRIBUTIONS.get(package, package) for package in packages)}"


def _load_reference(reference: str) -> Any:
    module_name, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module_name), attribute)


def _specs_of_entry_points(kind: str) -> Iterable[PluginSpec]:
    for entry_point in importlib.metadata.entry_points(group=f"deploybench.{kind}"):
        try:
            spec = entry_point.load()
        except Exception as error:  # noqa: BLE001 - a third party's import may raise anything; it alone is disabled
            yield _disabled(entry_point, f"raised {type(error).__name__}: {error}")
            continue
        if not isinstance(spec, PluginSpec):
            yield _disabled(entry_point, f"is a {type(spec).__name__}, not a bench.core.plugins.PluginSpec")
            continue
        yield spec


def _disabled(entry_point: importlib.metadata.EntryPoint, why: str) -> PluginSpec:
    return PluginSpec(name=entry_point.name, target="", summary=f"disabled: {entry_point.value} {why}")


@cache
def table(kind: str) -> Mapping[str, PluginSpec]:
    """All plug-ins of a kind by name; a name given twice is an error."""
    specs = [spec for reference in TABLES[kind] for spec in _load_reference(reference)]
    specs += _specs_of_entry_points(kind)
    by_name: dict[str, PluginSpec] = {}
    for spec in specs:
        if spec.name in by_name:
            places = (each.target or each.summary for each in (by_name[spec.name], spec))
            raise PluginError(
                f"two plug-ins of kind {kind} are called {spec.name!r}: {', '.join(places)}",
                hint="uninstall the package that brings one of them, or rename its entry point",
            )
        by_name[spec.name] = spec
    return by_name


def lookup(kind: str, name: str) -> PluginSpec:
    """The table line of `name`, or a MatrixError with the closest known name."""
    known = table(kind)
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ""
    raise MatrixError(f"{name!r} is not a known one of {kind}{suggestion}", hint=f"bench list {kind}")


def load(kind: str, name: str) -> Any:
    """Import and return what a table line names; MissingPackage or PluginError say why it cannot be."""
    spec = lookup(kind, name)
    missing = spec.missing_packages()
    if missing:
        raise MissingPackage(f"{kind} {name!r} needs {', '.join(missing)}, not installed", hint=install_hint(missing))
    if spec.is_disabled:
        raise PluginError(f"{kind} {name!r} is {spec.summary}", hint="bench doctor")
    module_name, _, attribute = spec.target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a broken package may raise anything: OSError for a library that does not load
        raise MissingPackage(
            f"{kind} {name!r} cannot be imported: {type(error).__name__}: {error}", hint="bench doctor --deep"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise PluginError(f"{kind} {name!r}: {spec.target} does not exist: {error}") from error
