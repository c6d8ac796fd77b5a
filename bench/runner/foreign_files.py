"""What a child may take that parses a file of unknown origin: a few bytes can declare tensors of any size."""

from __future__ import annotations

import resource

from bench.core.cell import Limits
from bench.environment import available_memory_bytes

#: What the imports of the heaviest framework map; most of it is never touched.
_LEAST_BYTES = 3 << 30


def parser_limits(threads: int) -> Limits:
    """Half of the memory that is free now as address space, so that the other half is left to everything else."""
    wanted = max(available_memory_bytes() // 2, _LEAST_BYTES)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return Limits(threads=threads, memory_limit_bytes=granted)
