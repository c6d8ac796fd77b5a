"""What can run here and why not, and what on this host spoils numbers; changes nothing."""

from __future__ import annotations

from pathlib import Path

from .finding import Finding
from .host_checks import host_findings
from .kernel_files import ROOT
from .permission_checks import permission_findings
from .plugin_checks import import_findings, plugin_findings, tensorrt_findings

_ORDER = {"problem": 0, "warning": 1, "unavailable": 2, "ok": 3}


def doctor(results_dir: Path, *, deep: bool = False, root: Path = ROOT) -> tuple[Finding, ...]:
    """All findings, the gravest first.

    `deep` also imports each needed package in a child process, which takes seconds per framework but finds packages
    that are installed and broken. `root` is where /proc and /sys are looked for.
    """
    findings = [
        *host_findings(root),
        *permission_findings(results_dir, root),
        *plugin_findings(),
        *tensorrt_findings(),
    ]
    if deep:
        findings += import_findings()
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.kind]))
