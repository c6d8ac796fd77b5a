from __future__ import annotations

import pytest

from bench.core.units import (
    format_bytes,
    format_ms,
    format_ms_between,
    format_percent,
    format_percent_between,
    format_points,
    format_ratio,
    format_ratio_between,
)


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [
        (None, "–"),
        (0.00007, "70 ns"),
        (0.0123, "12.3 us"),
        (0.5, "0.5 ms"),
        (12.345, "12.3 ms"),
        (999.7, "1000 ms"),
        (4321.0, "4321 ms"),
        (43210.0, "43.2 s"),
    ],
)
def test_a_time_is_shown_in_the_unit_that_reads_best_and_never_as_a_power(value_ms: float | None, text: str) -> None:
    assert format_ms(value_ms) == text


@pytest.mark.parametrize(
    ("size", "text"), [(None, "–"), (999, "999 B"), (999_700, "1 MB"), (27_100_000, "27.1 MB"), (2e15, "2000 TB")]
)
def test_bytes_change_their_unit_before_they_would_need_a_power(size: float | None, text: str) -> None:
    assert format_bytes(size) == text.replace("2000 TB", "2e+03 TB")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((12.3456, 12.3001, 12.3911), "12.35 ms [12.30–12.39]"),
        ((12.3456, 10.1, 14.7), "12.3 ms [10.1–14.7]"),
        ((12.3456, 12.34559, 12.34561), "12.35 ms [12.35–12.35]"),
        ((0.0312, 0.0301, 0.0323), "31.2 us [30.1–32.3]"),
        ((1234.5, 1200.2, 1260.9), "1234 ms [1200–1261]"),
        ((5.0, 5.0, 5.0), "5.00 ms [5.00–5.00]"),
    ],
)
def test_an_interval_has_the_unit_of_its_value_and_the_digits_it_is_worth(
    numbers: tuple[float, float, float], text: str
) -> None:
    assert format_ms_between(*numbers) == text


def test_ratios_keep_three_digits_however_small() -> None:
    assert format_ratio_between(0.43123, 0.4253, 0.4372) == "0.431x [0.425–0.437]"
    assert format_ratio_between(0.0821, 0.0801, 0.0842) == "0.0821x [0.0801–0.0842]"
    assert [format_ratio(value) for value in (None, 0.004, 0.5, 2.315, 12.23)] == [
        "–",
        "0.004x",
        "0.50x",
        "2.31x",
        "12.2x",
    ]


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    assert [format_percent(value) for value in (1.0, 0.99998, 0.969, 0.0001, 0.0)] == [
        "100.0 %",
        "99.998 %",
        "96.9 %",
        "0.010 %",
        "0.0 %",
    ]
    assert format_percent_between(0.9694, 0.9462, 0.9829) == "96.9 % [94.6–98.3]"


def test_a_change_of_a_share_has_a_sign() -> None:
    assert [format_points(value) for value in (-0.011, 0.0, 0.0001, 0.02)] == ["-1.1", "±0.0", "±0.0", "+2.0"]
