"""Looks inside a cell in a second pass, never the timed one: operators, lines, functions and events on one clock."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

#: `accepts` are the adapters that a profiler looks into; none named stands for every adapter.
PROFILERS: tuple[PluginSpec, ...] = ()
