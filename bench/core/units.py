"""Numbers as people read them; used at the edge only, never inside a computation."""

from __future__ import annotations

import math

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_ms(value_ms: float | None) -> str:
    """Milliseconds with three significant digits, in the unit that reads best."""
    if value_ms is None:
        return "–"
    factor, unit = _time_unit(value_ms)
    value = value_ms * factor
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"


def format_ms_between(value_ms: float, low_ms: float, high_ms: float) -> str:
    """A latency with its interval in one unit and with as many digits as the interval is worth."""
    factor, unit = _time_unit(value_ms)
    value, low, high = (number * factor for number in (value_ms, low_ms, high_ms))
    decimals = _decimals(value, low, high)
    return f"{value:.{decimals}f} {unit} {_between(low, high, decimals)}"


def format_ratio_between(ratio: float, low: float, high: float) -> str:
    """A ratio with its interval, e.g. `0.431x [0.425–0.437]`."""
    decimals = _decimals(ratio, low, high)
    return f"{ratio:.{decimals}f}x {_between(low, high, decimals)}"


def format_percent(ratio: float) -> str:
    """A share of a whole in percent with one decimal; never rounded up to all or down to nothing."""
    percent = 100 * ratio
    return f"{percent:.3f} %" if 99.95 <= percent < 100 or 0 < percent < 0.05 else f"{percent:.1f} %"


def format_percent_between(ratio: float, low: float, high: float) -> str:
    """A share in percent with its interval."""
    return f"{format_percent(ratio)} {_between(100 * low, 100 * high, 1)}"


def format_points(ratio_change: float) -> str:
    """A change of a share in percentage points, with its sign."""
    return "±0.0" if abs(ratio_change) < 0.0005 else f"{100 * ratio_change:+.1f}"


def format_bytes(value_bytes: float | None) -> str:
    """Bytes in powers of 1000."""
    if value_bytes is None:
        return "–"
    value = float(value_bytes)
    for unit in _BYTE_UNITS:
        if abs(value) < 999.5 or unit == _BYTE_UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def format_ratio(ratio: float | None) -> str:
    """A time ratio to the reference, e.g. `0.52x`."""
    if ratio is None:
        return "–"
    decimals = 1 if ratio >= 10 else 2
    return f"{ratio:.2g}x" if ratio < 0.1 else f"{ratio:.{decimals}f}x"


def format_seconds(value_s: float) -> str:
    """A duration such as `850 ms`, `12.3 s` or `4 min 05 s`."""
    if value_s < 1:
        return f"{value_s * 1000:.0f} ms"
    if value_s < 60:
        return f"{value_s:.1f} s"
    minutes, seconds = divmod(round(value_s), 60)
    return f"{minutes} min {seconds:02d} s"


def _time_unit(value_ms: float) -> tuple[float, str]:
    if value_ms >= 10_000:
        return 1e-3, "s"
    if value_ms < 1e-4:
        return 1e6, "ns"
    return (1e3, "us") if value_ms < 0.1 else (1.0, "ms")


def _between(low: float, high: float, decimals: int) -> str:
    return f"[{low:.{decimals}f}–{high:.{decimals}f}]"


def _decimals(value: float, low: float, high: float) -> int:
    """So many that half the interval shows in the last one, within three or four significant digits of the value."""
    if value <= 0:
        return 3
    magnitude = math.floor(math.log10(value))
    half = (high - low) / 2
    wanted = math.ceil(-math.log10(half)) if half > 0 else 0
    return max(0, min(max(wanted, 2 - magnitude), 3 - magnitude))
