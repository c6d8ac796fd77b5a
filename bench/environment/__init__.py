"""What this machine is: its fingerprint, what it can spare, and what on it would spoil a measurement."""

from __future__ import annotations

from .capacity import affinity, available_memory_bytes, effective_cpus
from .doctor import doctor
from .facts import Environment
from .finding import Finding
from .fingerprint import differences, fingerprint
from .gpu import gpus
from .plugin_checks import plugin_finding

__all__ = [
    "Environment",
    "Finding",
    "affinity",
    "available_memory_bytes",
    "differences",
    "doctor",
    "effective_cpus",
    "fingerprint",
    "gpus",
    "plugin_finding",
]
