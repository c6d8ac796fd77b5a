"""Topologies: how a variant is reached."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

TOPOLOGIES: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="direct",
        target="servers.direct:Direct",
        summary="in process: the worker that measures holds the model",
    ),
)
