"""The percentile of one block, the unit that warm-up, comparison, flags and resolution work with."""

from __future__ import annotations

import numpy as np

from bench.core.block import Block


def block_percentile_ns(block: Block, percent: float) -> float:
    """A percentile of the steady calls; at least 1 ns, so that it has a logarithm even where a clock is broken."""
    return max(1.0, float(np.percentile(block.steady_ns, percent)))
