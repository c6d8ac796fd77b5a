"""Starts, limits, times out and kills processes; nothing else does. No framework, no numpy, no threads."""

from .child import Child
from .environment import variables_we_set, worker_environment
from .messages import Answer, ChildError, Death, Outcome, ProcessSpec, Ticket
from .supervisor import Supervisor

__all__ = [
    "Answer",
    "Child",
    "ChildError",
    "Death",
    "Outcome",
    "ProcessSpec",
    "Supervisor",
    "Ticket",
    "variables_we_set",
    "worker_environment",
]
