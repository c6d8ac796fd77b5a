"""Compile an exported program ahead of time into native code for this machine's processor (AOTInductor)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.aot_inductor import compile_package
from bench.formats.examples import check_batches, require_sound
from bench.formats.exported_program import load_exported, operator_counts
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_inductor import compiler_blockers
from bench.formats.torch_source import load_source, run_module

if TYPE_CHECKING:
    from bench.core.contracts import Array, Examples

_NAME = "exported_program_to_aot_inductor"
_LARGEST_ERROR_RATIO = 0.05
_QUANTIZED = "quantized_decomposed."
_HINT = "try the option freezing: false; the log holds the compiler's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class AotInductorOptions:
    """`freezing` folds and packs weights while compiling; a quantized program is refused without it."""

    freezing: bool = False


class ExportedProgramToAotInductor:
    """`torch._inductor.aoti_compile_and_package`; the time it takes is that of the step."""

    Options = AotInductorOptions

    def blockers(self, source_format: str, options: AotInductorOptions) -> Sequence[str]:
        """What the table line says is missing, and a C++ compiler where there is none."""
        return [*table_blockers(_NAME, source_format), *compiler_blockers()]

    def apply(
        self, source: Artifact, options: AotInductorOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.pt2`, called like the program, dynamic dimensions dynamic."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _compile(source, options, out_dir, examples)


def _compile(source: Artifact, options: AotInductorOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    import torch

    torch_source = load_source(source, examples)
    program = load_exported(Path(source.path))
    counts = operator_counts(program)
    if not options.freezing and any(name.startswith(_QUANTIZED) for name in counts):
        raise StepFailed(
            f"{_NAME}: {source.path} is quantized, and without freezing it would be computed in floats",
            hint="set freezing: true",
        )
    path = out_dir / "model.pt2"
    with tempfile.TemporaryDirectory() as cache:
        compile_package(program, torch_source.example, path, Path(cache), freezing=options.freezing)

    model = torch._inductor.aoti_load_package(str(path))  # noqa: SLF001  its documented name
    batches = check_batches(source.inputs, examples)
    for batch, expected in zip(batches, torch_source.answers(batches, source.inputs), strict=True):
        answer = run_module(model, batch, source.inputs, torch_source.outputs)
        require_sound(_NAME, expected, answer)
        _require_close(source, expected, answer)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=path.stat().st_size),
        Change(what="nodes", before=counts.total(), after=1),
    )
    return StepResult(format="aot_inductor", path=path, inputs=source.inputs, outputs=source.outputs, changes=changes)


def _require_close(source: Artifact, expected: Mapping[str, Array], answer: Mapping[str, Array]) -> None:
    """Compiling changes roundings alone, but with freezing torch 2.13 mixes up the weights of some networks."""
    import numpy as np

    for name, values in expected.items():
        error = float(np.abs(np.subtract(answer[name], values, dtype=np.float64)).max(initial=0))
        largest = float(np.abs(values.astype(np.float64)).max(initial=0))
        if error > _LARGEST_ERROR_RATIO * largest:
            raise StepFailed(
                f"{_NAME}: the code compiled from {source.path} is off by {error:.3g} in {name!r}, "
                f"whose largest value is {largest:.3g}",
                hint=_HINT,
            )


STEP = ExportedProgramToAotInductor()
