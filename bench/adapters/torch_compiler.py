"""`torch.compile`: the modes offered, and how long it has been compiling."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Literal

from bench.core.errors import ExecutionUnavailable
from bench.formats.torch_inductor import compiler_blockers, teach_quantized_patterns

Mode = Literal["default", "max-autotune", "freezing"]


def compiled(model: Callable[..., Any], mode: Mode) -> tuple[Callable[..., Any], Callable[[], float]]:
    """The model through `torch.compile`, which happens in its first call, and again for inputs of another shape.

    Also gives a function: seconds spent compiling so far. ExecutionUnavailable where there is no C++ compiler.
    """
    for blocker in compiler_blockers():
        raise ExecutionUnavailable(blocker, hint="install it, or leave out the option compile")

    import torch

    # Read when the compiler is imported: otherwise a pool of compiler processes stays beside the measured one.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    teach_quantized_patterns(model)
    if mode == "freezing":
        import torch._inductor.config

        # For the whole process: as an option of torch.compile it is only half in force, and quantized programs fail.
        torch._inductor.config.freezing = True  # noqa: SLF001  its documented name
    made: Callable[..., Any] = torch.compile(model, mode="max-autotune" if mode == "max-autotune" else None)
    return made, _compile_clock()


def _compile_clock() -> Callable[[], float]:
    """PyTorch says when it starts and ends compiling; nested compilations are told as one."""
    from torch._dynamo.callback import callback_handler

    started_s: list[float] = []
    spent_s: list[float] = []
    callback_handler.register_start_callback(lambda _: started_s.append(time.perf_counter()))
    callback_handler.register_end_callback(lambda _: spent_s.append(time.perf_counter() - started_s.pop()))
    return lambda: sum(spent_s)
