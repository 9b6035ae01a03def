"""Listed prices: ranges with source and date, of rows that exist."""

import pytest

from farthing.catalog import accelerators
from farthing.catalog.prices import _prices, listed_price

LISTED = sorted(_prices())


@pytest.mark.parametrize(("name", "spot"), LISTED)
def test_a_listed_price_is_a_range_of_a_known_accelerator_with_its_source(name, spot):
    price = listed_price(name, spot=spot)

    assert name in {row.name for row in accelerators()}
    assert 0 < price.low <= price.middle <= price.high
    assert price.source
    assert price.as_of.startswith("20")


def test_the_middle_is_as_far_from_both_ends():
    price = listed_price("H100-80GB-SXM", spot=False)

    assert float(price.middle / price.low) == pytest.approx(float(price.high / price.middle), rel=0.01)


def test_what_no_list_has_is_none():
    assert listed_price("T4", spot=False) is None
    assert listed_price("L4", spot=True) is None
