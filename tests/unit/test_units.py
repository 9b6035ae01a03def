"""Quantities as people and Kubernetes write them."""

from decimal import Decimal

import pytest

from farthing import units


@pytest.mark.parametrize("text", ["abc", "", "-1", "Infinity", "NaN"])
def test_what_is_no_amount_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        units.parse_amount(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (43.4, "43s"), (370, "6m10s"), (3900, "1h05m"), (2 * 86400 + 3 * 3600 + 59, "2d03h")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "1.5h", "m", "-3s"])
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        units.parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("512Mi", 512 * 2**20), ("6G", 6 * 10**9), ("1.5Gi", 1.5 * 2**30), ("7", 7)])
def test_quantities_are_read(text: str, size: float) -> None:
    assert units.parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "Mi", "6GB", "1e3", "-1Gi"])
def test_what_is_no_quantity_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        units.parse_quantity(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(512, "512 B"), (1536, "1.5 KiB"), (12 * 2**20, "12.0 MiB"), (1.5 * 2**30, "1.5 GiB"), (2**41, "2.0 TiB")],
)
def test_sizes_have_the_unit_that_fits(size: float, text: str) -> None:
    assert units.format_bytes(size) == text


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12"), (7100, "7.1k"), (1.9e12, "1.9T"), (3e18, "3E"), (1e9, "1G"), (999.6e3, "1M")]
)
def test_counts_go_by_powers_of_a_thousand(number: float, text: str) -> None:
    assert units.format_count(number) == text


def test_a_bill_is_never_shown_smaller_than_it_is() -> None:
    assert units.format_micro(Decimal("0.0000001")) == "0.000001"
    assert units.format_micro(Decimal("1.500000")) == "1.5"
    assert units.format_whole(Decimal("100.2")) == "101"


def test_a_time_without_a_zone_is_told() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        units.parse_time("2026-12-01T12:00:00")
