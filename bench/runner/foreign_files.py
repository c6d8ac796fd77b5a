"""Files of unknown origin: what a child that parses one may take, and what to do when the file has ended the child.

A few bytes can declare tensors of any size, and nest what a parser follows until its stack is full.
"""

from __future__ import annotations

import resource

from bench.core.cell import Limits
from bench.environment import available_memory_bytes

#: What the imports of the heaviest framework map; most of it is never touched.
_LEAST_BYTES = 3 << 30

_HINTS = {
    "crashed": "the file is damaged, or made to crash what reads it: export the model again, and do not open this one",
    "oom": "the file declares more than it should hold, or too little memory is free here",
    "timeout": "the file is damaged, or made to keep what reads it busy: export the model again",
}


def hint_for(status: str) -> str:
    """The next step after a file could not be read, or has ended the process that tried."""
    return _HINTS.get(status, "check that the file is complete, or export the model again")


def parser_limits(threads: int) -> Limits:
    """Half of the memory that is free now as address space, so that the other half is left to everything else."""
    wanted = max(available_memory_bytes() // 2, _LEAST_BYTES)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return Limits(threads=threads, memory_limit_bytes=granted)
