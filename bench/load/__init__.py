"""Load that is right about stalls: requests are sent when they are planned, and their time counts from then.

`drive_open` sends a plan of arrivals whatever becomes of earlier requests; `drive_closed` keeps callers busy. Both run
against a server over HTTP/1.1 or gRPC (`open_target`), or against one in arithmetic (`simulated_target`).
"""

from __future__ import annotations

from .drive import drive_closed, drive_open
from .record import Drive, Facts, Sample
from .schedule import Arrivals, inputs_in_turn, offsets_ns
from .simulation import SimulatedServer
from .target import Target, open_target, simulated_target

__all__ = [
    "Arrivals",
    "Drive",
    "Facts",
    "Sample",
    "SimulatedServer",
    "Target",
    "drive_closed",
    "drive_open",
    "inputs_in_turn",
    "offsets_ns",
    "open_target",
    "simulated_target",
]
