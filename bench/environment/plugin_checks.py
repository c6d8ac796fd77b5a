"""Which plug-ins can run here; and, when asked, whether the packages they need survive their own import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from bench.core.errors import BenchError
from bench.core.plugins import TABLES, PluginSpec, install_hint, load, table
from bench.formats.tensorrt_engine import ladder

from .finding import Finding, Kind
from .gpu import gpus

_IMPORT_TIMEOUT_S = 120
_QUIET = {"ORT_DISABLE_TELEMETRY": "1", "CI": "true", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def plugin_findings() -> Iterator[Finding]:
    """One finding per plug-in of every table; a table that cannot be read is one problem."""
    has_gpu = bool(gpus().found)
    for kind in TABLES:
        try:
            specs = table(kind)
        except BenchError as error:
            yield Finding(kind="problem", subject=kind, text=error.message, hint=error.hint or "")
            continue
        for spec in specs.values():
            yield plugin_finding(kind, spec, has_gpu=has_gpu)


def plugin_finding(kind: str, spec: PluginSpec, *, has_gpu: bool) -> Finding:
    """Whether a plug-in can run here, without importing any framework: `ok`, or why not and the way out."""
    subject = f"{kind} {spec.name}"
    if spec.is_disabled:
        return Finding(kind="problem", subject=subject, text=spec.summary, hint="bench doctor")
    if missing := spec.missing_packages():
        return Finding(
            kind="unavailable",
            subject=subject,
            text=f"needs {', '.join(missing)}, not installed",
            hint=install_hint(missing),
        )
    if "cpu" not in spec.devices and not has_gpu:
        return Finding(kind="unavailable", subject=subject, text=f"runs on {', '.join(spec.devices)} only, none here")
    try:
        obstacles = _obstacles(kind, spec, load(kind, spec.name))
    except BenchError as error:
        return Finding(kind="problem", subject=subject, text=error.message, hint="see the plug-in's module")
    if obstacles:
        return Finding(kind="unavailable", subject=subject, text="; ".join(obstacles))
    return Finding(kind="ok", subject=subject, text=spec.summary)


def _obstacles(kind: str, spec: PluginSpec, plugin: Any) -> Sequence[str]:
    """What the plug-in itself says against running here, each reason with its way out."""
    if kind == "models":
        from bench.zoo.fetch import missing_data

        missing = missing_data(spec.name)
        return (f"{missing}: python -m bench.zoo.fetch",) if missing else ()
    if kind == "steps":
        reasons: Sequence[str] = plugin.blockers(spec.accepts[0], plugin.Options())
        return reasons
    if kind == "topologies":
        topology = plugin()
        blockers: Sequence[str] = topology.blockers((spec.accepts or ("onnx",))[0], topology.Options())
        return blockers
    return ()


def tensorrt_findings() -> Iterator[Finding]:
    """One finding per way to TensorRT."""
    for rung in ladder():
        kind: Kind = "unavailable" if rung.status == "unavailable" else "ok"
        text = rung.status.replace("_", " ") + (f": {rung.reason}" if rung.reason else "")
        yield Finding(kind=kind, subject=f"TensorRT by {rung.name}", text=text)


def import_findings() -> Iterator[Finding]:
    """Import each installed package that some plug-in needs in a child process of its own, one after the other."""
    needed: set[str] = set()
    for kind in TABLES:
        with suppress(BenchError):  # a table that cannot be read is a finding already
            for spec in table(kind).values():
                needed |= set(spec.used_packages()) - set(spec.missing_packages())
    for package in sorted(needed):
        yield import_finding(package)


def import_finding(package: str) -> Finding:
    """Import `package` in a child process; what it writes is shown only when it fails, as its last line."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import importlib, sys; importlib.import_module(sys.argv[1])", package],
        env={**os.environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with child:
        try:
            _, said = child.communicate(timeout=_IMPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return _broken(package, f"its import did not end within {_IMPORT_TIMEOUT_S} s")
    if child.returncode == 0:
        return Finding(kind="ok", subject=f"package {package}", text="can be imported")
    if child.returncode < 0:
        return _broken(package, f"its import ended by {signal.Signals(-child.returncode).name}")
    return _broken(package, (said.strip().splitlines() or ["its import failed without a word"])[-1])


def _broken(package: str, text: str) -> Finding:
    return Finding(
        kind="problem",
        subject=f"package {package}",
        text=f"installed, but broken: {text}",
        hint=f"pip install --force-reinstall {package}",
    )
