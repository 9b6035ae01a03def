"""Pools and money in one word."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.catalog import accelerators
from farthing.cli.plan_pools import asked_pools, money, pool_words
from farthing.errors import InvalidSpec, MissingPrice, UnknownAccelerator
from farthing.units import GIB


def pool(word, currency="USD", *, costs=False):
    (offer,), _ = pool_words([word], currency, costs=costs)
    return offer


@pytest.mark.parametrize(
    ("word", "name", "accelerator", "per_node", "devices", "spot", "price"),
    [
        ("h100x8@2.5", "h100x8", "H100-80GB-SXM", 8, 8, False, "2.5"),
        ("H100-80GB-SXMx8@2.5usd", "h100-80gb-sxmx8", "H100-80GB-SXM", 8, 8, False, "2.5"),
        ("h100x8:spot@1.2", "h100x8-spot", "H100-80GB-SXM", 8, 8, True, "1.2"),
        ("big=h100x8x4@2", "big", "H100-80GB-SXM", 8, 32, False, "2"),
        ("a100_80gb@2", "a100_80gb", "A100-80GB-SXM", 1, 1, False, "2"),
        ("rtx4090@0.4", "rtx4090", "RTX4090", 1, 1, False, "0.4"),
        ("rtx4090x2@0.4", "rtx4090x2", "RTX4090", 2, 2, False, "0.4"),
        ("MI300Xx8@3", "mi300xx8", "MI300X", 8, 8, False, "3"),
        ("mi300xx8x2@3", "mi300xx8x2", "MI300X", 8, 16, False, "3"),
    ],
)
def test_a_pool_in_a_word(word, name, accelerator, per_node, devices, spot, price):
    offer = pool(word)

    assert (offer.name, offer.accelerator.name) == (name, accelerator)
    assert (offer.accelerators_per_node, offer.accelerators, offer.spot) == (per_node, devices, spot)
    assert (offer.price_per_accelerator_hour, offer.currency) == (Decimal(price), "USD")
    assert offer.memory_bytes == offer.accelerator.memory_bytes > 10 * GIB


@given(
    row=st.sampled_from([row for row in accelerators() if row.peak_flops]),
    per_node=st.integers(1, 64),
    nodes=st.integers(1, 512),
    upper=st.booleans(),
)
def test_every_row_of_the_catalogue_can_be_named_in_any_case(row, per_node, nodes, upper):
    word = f"{row.name}x{per_node}x{nodes}@1"
    offer = pool(word.upper() if upper else word.lower())

    assert offer.accelerator == row
    assert (offer.accelerators_per_node, offer.accelerators) == (per_node, per_node * nodes)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["h1000x8@2"], UnknownAccelerator, "'h1000' is not in the catalogue: use one of A100-40GB-SXM"),
        (["rtx9999x8"], UnknownAccelerator, "'rtx9999' or 'rt' is not in the catalogue"),
        (["@2"], UnknownAccelerator, "''"),
        (["h100x0@2"], InvalidSpec, "count from 1"),
        (["h100x8x0@2"], InvalidSpec, "count from 1"),
        (["=h100x8@2"], InvalidSpec, "ACCELERATOR[xPER_NODE"),
        (["h100x8:spt@2"], InvalidSpec, ":spt is not known"),
        (["h100x8:spot@"], InvalidSpec, "price"),
        (["h100x8@cheap"], InvalidSpec, "price"),
        (["h100x8@1.2.3"], InvalidSpec, "price"),
        (["h100x8@0"], InvalidSpec, "above 0"),
        (["h100x8@2eur"], InvalidSpec, "USD"),
        (["h100x8@2", "H100x8@3"], InvalidSpec, "a pool h100x8 already"),
        (["cpu-slotx2@1"], InvalidSpec, "spec.rate"),
    ],
)
def test_a_wrong_word_names_the_piece_and_the_way_out(words, error, says):
    with pytest.raises(error) as failure:
        pool_words(words, "USD", costs=True)

    assert says in str(failure.value)
    assert words[-1] in str(failure.value)


def test_without_a_price_the_middle_of_the_listed_ones_is_taken_and_told():
    (offer,), (note,) = pool_words(["h100x8"], "USD", costs=True)

    assert Decimal("1.97") < offer.price_per_accelerator_hour < Decimal("9.49")
    assert "1.97-9.49" in note
    assert "h100x8@PRICE" in note


def test_spot_has_listed_prices_of_its_own():
    assert pool("h100x8:spot").price_per_accelerator_hour < pool("h100x8").price_per_accelerator_hour


@pytest.mark.parametrize(("word", "currency"), [("t4x4", "USD"), ("l4x8:spot", "USD"), ("h100x8", "EUR")])
def test_without_any_price_money_cannot_be_counted(word, currency):
    with pytest.raises(MissingPrice, match=f"{word}@PRICE"):
        pool_words([word], currency, costs=True)
    assert pool(word, currency).price_per_accelerator_hour is None
    assert pool(word, currency).currency is None


def test_the_first_price_says_the_currency_where_the_budget_has_none():
    (first, second), notes = pool_words(["h100x8@2.5eur", "a100x8@1"], None, costs=False)

    assert (first.currency, second.currency, notes) == ("EUR", "EUR", ())
    assert pool("h100x8@2", None).currency == "USD"


@pytest.mark.parametrize(
    ("text", "amount", "currency"), [("500usd", "500", "USD"), ("0.06 EUR", "0.06", "EUR"), ("12", "12", None)]
)
def test_money_in_a_word(text, amount, currency):
    assert money("--budget", text) == (Decimal(amount), currency)


@pytest.mark.parametrize("text", ["", "usd", "-5usd", "0usd", "5 dollars", "1.2.3usd", "1e3usd"])
def test_what_is_no_money_names_the_option(text):
    with pytest.raises(InvalidSpec, match=r"--budget.*500usd"):
        money("--budget", text)


POOL = """
apiVersion: farthing.dev/v1alpha1
kind: GPUNodePool
metadata: {{name: {name}}}
spec:
  accelerator: H100-80GB-SXM
  acceleratorsPerNode: 8
  maxNodes: 2
  networkBytesPerSecond: "1e11"
  price: {{perAcceleratorHour: "3", currency: {currency}, source: a list}}
"""


def manifest(folder, name="big", currency="EUR"):
    file = folder / "pools.yaml"
    file.write_text(POOL.format(name=name, currency=currency))
    return file


def test_pools_of_manifests_stand_beside_those_in_words(tmp_path):
    offers, _ = asked_pools(["h200x8@4"], manifest(tmp_path), None, costs=True)
    assert [(offer.name, offer.currency) for offer in offers] == [("h200x8", "EUR"), ("big", "EUR")]
    assert (offers[1].accelerators, offers[1].network_bytes_per_second) == (16, 1e11)


@pytest.mark.parametrize(
    ("words", "name", "currency", "said"),
    [
        (["big=h100x8@2"], "big", "USD", "two pools have that name"),
        ([], "big", "EUR", "the budget is in USD"),
    ],
)
def test_pools_of_manifests_that_do_not_go_with_the_rest(tmp_path, words, name, currency, said):
    with pytest.raises(InvalidSpec, match=said):
        asked_pools(words, manifest(tmp_path, name, currency), "USD", costs=True)


def test_no_pool_at_all_is_an_error_with_the_way_out():
    with pytest.raises(InvalidSpec, match="name at least one"):
        asked_pools([], None, "USD", costs=True)
