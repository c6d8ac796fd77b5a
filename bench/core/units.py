"""Numbers as people read them; used at the edge only, never inside a computation."""

from __future__ import annotations

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_ms(value_ms: float | None) -> str:
    """Milliseconds with three significant digits, in the unit that reads best."""
    if value_ms is None:
        return "–"
    if value_ms >= 10_000:
        return f"{value_ms / 1000:.3g} s"
    if value_ms < 0.1:
        return f"{value_ms * 1000:.3g} us"
    return f"{value_ms:.3g} ms" if value_ms < 1000 else f"{value_ms:.0f} ms"


def format_bytes(value_bytes: float | None) -> str:
    """Bytes in powers of 1000."""
    if value_bytes is None:
        return "–"
    value = float(value_bytes)
    for unit in _BYTE_UNITS:
        if abs(value) < 1000 or unit == _BYTE_UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def format_ratio(ratio: float | None) -> str:
    """A time ratio to the reference, e.g. `0.52x`."""
    return "–" if ratio is None else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def format_seconds(value_s: float) -> str:
    """A duration such as `850 ms`, `12.3 s` or `4 min 05 s`."""
    if value_s < 1:
        return f"{value_s * 1000:.0f} ms"
    if value_s < 60:
        return f"{value_s:.1f} s"
    minutes, seconds = divmod(round(value_s), 60)
    return f"{minutes} min {seconds:02d} s"
