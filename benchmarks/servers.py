"""What serving one model costs on one core: our servers beside MLServer, LitServe, BentoML, KServe and Triton.

    python benchmarks/servers.py [--quick] [--only NAME ...] [--rate 50] [--rounds 2] [--out FILE]

All serve the same ONNX file with ONNX Runtime of the same version and settings, one thread, one model process. The
servers run on one core, the load generator on another, on a private network; one server at a time, in an order that is
drawn anew for each round. Each start is measured in each encoding: the time from launch to the first good answer; then
an open Poisson load, the same for all, for processor time per request, p50 and p99 from when each request was due; then
a closed loop for the most that it can do; in the last round a search for the highest rate within the objective. Every
answer of a check, and a share of those under load, must be what the model answers in process.

Peers are installed on first use, in environments of their own below the cache directory; what cannot be installed is
skipped with the reason. Claims are of processor time and p99 inside each round: "yes" when ours is less in every round.
Exit code 0 when ours is ahead in processor time per request of every peer that was measured, in every encoding that
both speak; 1 when not.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Instead of this file's directory, in which it is called like a package of ours and would hide it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.peers.command import main

    sys.exit(main())
