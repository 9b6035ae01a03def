"""Pools that can be searched, and what is said of the others."""

from dataclasses import replace
from decimal import Decimal
from math import isnan, nan

import pytest
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import H100, question_of

from farthing.api.amounts import Axis
from farthing.errors import InvalidSpec, MissingPrice, UnknownAccelerator
from farthing.estimates.throughput.sustained import UNKNOWN_SHARE
from farthing.planner.space import sites as module
from farthing.planner.space.sites import sites

MONEY = {Axis.COST: Decimal(100)}
UNKNOWN = replace(offer_of("odd", H100).accelerator, name="NPU-9")


def test_pools_stand_by_name_with_their_own_memory_before_the_catalogues():
    found, notes = sites(question_of(pools=(offer_of("z", H100), offer_of("a", H100, memory_bytes=10**10))))
    assert [site.offer.name for site in found] == ["a", "z"]
    assert [site.capacity for site in found] == [10**10, found[1].device.memory_bytes]
    assert notes == ()


def test_a_pool_that_cannot_be_searched_is_left_out_with_a_note():
    found, notes = sites(
        question_of(pools=(offer_of("gpu", H100), offer_of("laptop"), offer_of("odd", H100, accelerator=UNKNOWN)))
    )
    assert [site.offer.name for site in found] == ["gpu"]
    assert "laptop" in notes[0]
    assert "GPUs" in notes[0]
    assert "NPU-9" in notes[1]
    assert "accelerators.toml" in notes[1]


@pytest.mark.parametrize(
    ("pools", "error", "text"),
    [
        ((offer_of("laptop"),), InvalidSpec, "laptop"),
        ((offer_of("odd", H100, accelerator=UNKNOWN),), UnknownAccelerator, "NPU-9.*accelerators.toml"),
        ((offer_of("none", H100, accelerators=0),), InvalidSpec, "at least 1"),
        ((), InvalidSpec, "at least one pool"),
    ],
)
def test_without_any_pool_the_first_fault_is_raised(pools, error, text):
    with pytest.raises(error, match=text):
        sites(question_of(pools=pools))


def test_a_missing_price_is_an_error_only_where_money_is_limited():
    pools = (offer_of("free", H100, price_per_accelerator_hour=None), offer_of("priced", H100))
    with pytest.raises(MissingPrice, match=r"spec\.price: pool free.*perAcceleratorHour"):
        sites(question_of(pools=pools, remaining=MONEY))
    assert [site.price for site in sites(question_of(pools=pools))[0]] == [None, 0.5]


def test_prices_in_two_currencies_cannot_be_compared():
    with pytest.raises(InvalidSpec, match="EUR, USD"):
        sites(question_of(pools=(offer_of("a", H100), offer_of("b", H100, currency="EUR"))))


def test_energy_needs_a_design_power(monkeypatch):
    dark = replace(module.device(H100), watts=nan)
    monkeypatch.setattr(module, "device", lambda name: dark)
    with pytest.raises(InvalidSpec, match="tdp_w") as fault:
        sites(question_of(remaining={Axis.ENERGY: Decimal(1)}))
    assert fault.value.reason == "MissingPower"
    assert sites(question_of())[0][0].watts is None


def test_precisions_of_a_device():
    (site,), _ = sites(question_of())
    assert site.has("fp8")
    assert site.has("bfloat16")
    assert site.has("float32")
    (older,), _ = sites(question_of(pools=(offer_of("a", "A100-80GB-SXM"),)))
    assert older.has("bfloat16")
    assert not older.has("fp8")
    (oldest,), _ = sites(question_of(pools=(offer_of("v", "V100-SXM2-32GB"),)))
    assert oldest.has("float32")
    assert not oldest.has("bfloat16")
    assert oldest.tries("float16", free=True)
    assert not site.tries("float16", free=True)
    assert site.tries("float16", free=False)
    assert site.peak("float16") == site.peak("bfloat16")


def test_what_a_pool_says_of_itself_stands_for_the_datasheets():
    measured = {"measured_flops_per_second": 3.0e14, "measured_memory_bandwidth": 2.0e12, "network_bytes_per_second": 8e10}
    (site,), _ = sites(question_of(pools=(offer_of("h", H100, **measured),)))
    assert site.peak("bfloat16") * UNKNOWN_SHARE == pytest.approx(3.0e14)
    assert site.peak("float32") == site.device.peak("fp32")
    assert site.memory_bandwidth == 2.5e12
    assert site.network_bandwidth == 1e10
    (silent,), _ = sites(question_of(pools=(offer_of("h", H100),)))
    assert silent.peak("bfloat16") == silent.device.peak("bf16")
    assert silent.memory_bandwidth == silent.device.memory_bandwidth
    assert isnan(silent.network_bandwidth)
