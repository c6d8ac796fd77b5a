"""How many workers may be alive at once: a group that does not fit in memory is split, its reference in every part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .prepared import Prepared

#: Resident memory of a fresh worker with its framework imported, generously rounded up.
_FRAMEWORK_BYTES: Mapping[str, int] = {
    "null": 80_000_000,
    "onnxruntime": 250_000_000,
    "torch": 700_000_000,
    "tensorflow": 1_200_000_000,
}
_UNKNOWN_FRAMEWORK_BYTES = 1_200_000_000
#: Weights as read, as prepared for the kernels, and activations.
_COPIES_OF_MODEL = 4
#: What is left to the rest of the machine.
_USABLE_RATIO = 0.7


def split(cells: Sequence[Prepared], reference_id: str, available_bytes: int) -> list[list[Prepared]]:
    """Parts whose workers fit into memory together, each with the reference first where there is one.

    A part holds at least one cell besides the reference, however little memory there is: the kernel's verdict is
    better than our estimate.
    """
    reference = [prepared for prepared in cells if prepared.cell.id == reference_id]
    others = [prepared for prepared in cells if prepared.cell.id != reference_id]
    room_bytes = available_bytes * _USABLE_RATIO - sum(map(_worker_bytes, reference))
    parts: list[list[Prepared]] = []
    used_bytes = 0.0
    for prepared in others:
        needed_bytes = _worker_bytes(prepared)
        if not parts or used_bytes + needed_bytes > room_bytes:
            parts.append(list(reference))
            used_bytes = 0.0
        parts[-1].append(prepared)
        used_bytes += needed_bytes
    return parts or [reference]


def _worker_bytes(prepared: Prepared) -> int:
    framework_bytes = _FRAMEWORK_BYTES.get(prepared.cell.variant.adapter, _UNKNOWN_FRAMEWORK_BYTES)
    return framework_bytes + _COPIES_OF_MODEL * prepared.artifact.size_bytes
