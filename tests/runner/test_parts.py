"""A group that does not fit into memory is split, and its reference runs in every part."""

from __future__ import annotations

import pytest

from bench.runner.parts import split
from bench.runner.prepared import Prepared
from tests.runner.prepared_cells import prepared

GB = 1_000_000_000
REFERENCE = prepared("reference", adapter="onnxruntime")
OTHERS = [prepared(f"v{number}", adapter="onnxruntime") for number in range(5)]


def names(parts: list[list[Prepared]]) -> list[list[str]]:
    return [[each.cell.variant.name for each in part] for part in parts]


def split_names(cells: list[Prepared], available_bytes: int) -> list[list[str]]:
    return names(split(cells, REFERENCE.cell.id, available_bytes))


def test_what_fits_stays_together_in_one_part() -> None:
    assert split_names([REFERENCE, *OTHERS], 100 * GB) == [["reference", "v0", "v1", "v2", "v3", "v4"]]


def test_what_does_not_fit_is_split_with_the_reference_first_in_every_part() -> None:
    # 70 % of 1.1 GB leaves room for three workers of 250 MB: the reference and two more.
    assert split_names([REFERENCE, *OTHERS], 1_100_000_000) == [
        ["reference", "v0", "v1"],
        ["reference", "v2", "v3"],
        ["reference", "v4"],
    ]


@pytest.mark.parametrize("available_bytes", range(0, 4 * GB, 90_000_000))
def test_no_cell_is_lost_or_measured_twice_and_no_part_is_without_reference(available_bytes: int) -> None:
    parts = split_names([*OTHERS[:2], REFERENCE, *OTHERS[2:]], available_bytes)
    assert all(part[0] == "reference" and len(part) > 1 for part in parts)
    assert [name for part in parts for name in part[1:]] == ["v0", "v1", "v2", "v3", "v4"]


@pytest.mark.parametrize("available_bytes", [0, 1, 300_000_000])
def test_however_little_memory_there_is_each_cell_is_tried_beside_its_reference(available_bytes: int) -> None:
    assert split_names([REFERENCE, *OTHERS[:2]], available_bytes) == [["reference", "v0"], ["reference", "v1"]]


def test_weights_count_several_times_beside_the_framework() -> None:
    heavy = [prepared(f"h{number}", adapter="onnxruntime", size_bytes=GB) for number in range(2)]
    assert len(split_names([REFERENCE, *heavy], 11 * GB)) == 2
    assert len(split_names([REFERENCE, *heavy], 14 * GB)) == 1


def test_a_heavy_reference_leaves_less_room_to_the_others() -> None:
    heavy = prepared("reference", adapter="onnxruntime", size_bytes=GB)
    available = 6 * GB
    assert len(split([REFERENCE, *OTHERS], REFERENCE.cell.id, available)) == 1
    assert len(split([heavy, *OTHERS], heavy.cell.id, available)) > 1


def test_a_framework_that_is_not_known_is_taken_for_a_large_one() -> None:
    strangers = [prepared(f"s{number}", adapter="of a third party") for number in range(2)]
    assert len(split_names([REFERENCE, *strangers], 3 * GB)) == 2


def test_a_group_of_the_reference_alone_is_one_part() -> None:
    assert split_names([REFERENCE], 0) == [["reference"]]


def test_without_a_reference_the_others_are_measured_all_the_same() -> None:
    assert split_names(OTHERS[:3], 100 * GB) == [["v0", "v1", "v2"]]
