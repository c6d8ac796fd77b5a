"""What this user may do here: write results, limit and isolate processes, read hardware counters."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.core.units import format_bytes

from .finding import Finding
from .kernel_files import ROOT, control_group, read_number

_DISK_WARNING_BYTES = 2 * 2**30
_UNSHARE_TIMEOUT_S = 10
_PERF_FOR_OWN_PROCESSES = 2  # perf_event_paranoid: at most 2 lets a user count events of its own processes


def permission_findings(results_dir: Path, root: Path = ROOT) -> Iterator[Finding]:
    """One finding per permission, without making anything that stays."""
    yield _results(results_dir)
    for controller in ("cpu", "memory"):
        yield _control_group(controller, root)
    yield _unshare()
    yield _perf(root)


def _results(results_dir: Path) -> Finding:
    existing = next(path for path in (results_dir, *results_dir.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            kind="problem",
            subject="results",
            text=f"{existing} cannot be written",
            hint=f"chown or chmod {existing}, or name another place for results",
        )
    free = shutil.disk_usage(existing).free
    text = f"{results_dir} can be written, {format_bytes(free)} free"
    if free < _DISK_WARNING_BYTES:
        return Finding(
            kind="warning", subject="results", text=text, hint="make room: artifacts of all variants are kept"
        )
    return Finding(kind="ok", subject="results", text=text)


def _control_group(controller: str, root: Path) -> Finding:
    subject = f"{controller} control group"
    group = control_group(controller, root)
    if group is None:
        return Finding(kind="unavailable", subject=subject, text=f"no hierarchy with the {controller} controller")
    own = group.directories[0]
    if os.access(own, os.W_OK):
        return Finding(kind="ok", subject=subject, text=f"version {group.version}, groups can be made in {own}")
    return Finding(
        kind="unavailable",
        subject=subject,
        text=f"version {group.version}, {own} cannot be written: no {controller} limits by control group",
        hint="run as root, or in a scope that is delegated: systemd-run --user --scope -p Delegate=yes ...",
    )


def _unshare() -> Finding:
    subject = "namespaces"
    program = shutil.which("unshare")
    if program is None:
        return Finding(
            kind="unavailable", subject=subject, text="unshare is not installed", hint="apt install util-linux"
        )
    try:
        subprocess.run(
            [program, "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_UNSHARE_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        reason = str(error)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or str(error)
    else:
        return Finding(kind="ok", subject=subject, text="user and process namespaces can be made")
    return Finding(
        kind="unavailable",
        subject=subject,
        text=f"no user and process namespaces here: {reason}",
        hint="sysctl user.max_user_namespaces, or the container's security profile",
    )


def _perf(root: Path) -> Finding:
    subject = "hardware counters"
    level = read_number(root / "proc/sys/kernel/perf_event_paranoid")
    if level is None:
        return Finding(kind="unavailable", subject=subject, text="this kernel has no perf events")
    if level <= _PERF_FOR_OWN_PROCESSES or os.geteuid() == 0:
        return Finding(kind="ok", subject=subject, text=f"perf may count own processes (perf_event_paranoid {level})")
    return Finding(
        kind="unavailable",
        subject=subject,
        text=f"perf may not count (perf_event_paranoid {level})",
        hint=f"sysctl kernel.perf_event_paranoid={_PERF_FOR_OWN_PROCESSES}",
    )
