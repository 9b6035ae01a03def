"""Never over when money buys less than it did: the pool's price doubles twice, the second time during the landing.

Two jobs pay it: one lands earlier each time; the other is deaf, and the Job's deadline, lowered with the lease, ends it.
"""

import json
from itertools import pairwise

import pytest
from tests.support.saboteurs import DEAF, code_fault

from farthing.kube.resources import POOLS

pytestmark = pytest.mark.e2e

POOL = "dear"
PRICES = ("0.60", "1.20", "2.40")
MONEY = "0.0190"
"""110 s of one accelerator at the first price."""


@pytest.fixture(scope="module")
def dear(scene):
    """Both jobs, closed, in a pool of their own."""
    pool = scene.api.find(POOLS, "cpu")
    spec = {**pool["spec"], "price": {**pool["spec"]["price"], "perAcceleratorHour": PRICES[0]}}
    metadata = {"name": POOL, "labels": {"price": "moves"}}
    scene.cluster.apply({"apiVersion": pool["apiVersion"], "kind": pool["kind"], "metadata": metadata, "spec": spec})
    try:
        yield play(scene)
    finally:
        scene.clear()
        scene.cluster.kubectl("delete", "gpunodepool", POOL)


def play(scene):
    deafness, deaf = code_fault("deaf", DEAF)
    scene.apply(deafness)
    compute = {"accelerators": {"min": 1, "max": 1}, "poolSelector": {"matchLabels": {"price": "moves"}}}
    training = {"globalBatchSize": 4, "learningRate": "0.006", "landingFraction": "0.5"}
    jobs = [
        scene.submit("dearer", MONEY, compute=compute, training=training),
        scene.submit("dearer-deaf", MONEY, deaf, compute=compute),
    ]
    scene.until_it_trains(*jobs)
    double(scene, PRICES[1])
    scene.until(lambda: lands(scene.progress("dearer")), "it to be in its landing")
    double(scene, PRICES[2])
    return {name: scene.close(name) for name in jobs}


def double(scene, price):
    change = {"spec": {"price": {"perAcceleratorHour": price}}}
    scene.cluster.kubectl("patch", "gpunodepool", POOL, "--type=merge", "-p", json.dumps(change))


def lands(progress):
    landing = progress.get("landing")
    return landing is not None and progress["step"] >= landing["firstStep"]


@pytest.mark.parametrize("name", ["dearer", "dearer-deaf"])
def test_each_price_is_quoted_from_a_boundary_of_its_own(dear, name):
    record = dear[name].trained[0]
    quotes = [record["spec"]["quote"], *record["status"]["quotes"]]

    assert [quote["perAcceleratorHour"] for quote in quotes] == list(PRICES)
    assert all(earlier["from"] < later["from"] for earlier, later in pairwise(quotes))


def test_a_run_lands_earlier_each_time_the_price_rises(dear):
    job = dear["dearer"]
    record = job.trained[0]
    paid = [interval["perAcceleratorHour"] for interval in record["status"]["intervals"]]

    assert job.job.status.state == "Complete"
    assert record["status"]["outcome"] == "Landed"
    assert paid[: len(PRICES)] == list(PRICES)
    assert job.seconds(record) < record["spec"]["ends"]["trainer"] / 2


def test_a_deaf_trainer_is_ended_by_the_jobs_lowered_deadline_inside_a_reserve_at_the_first_price(dear):
    job = dear["dearer-deaf"]
    record = job.trained[0]
    paid = [interval["perAcceleratorHour"] for interval in record["status"]["intervals"]]

    assert record["status"]["outcome"] == "LeaseEnded"
    assert paid == [*PRICES, PRICES[0]]
    assert job.seconds(record) < record["spec"]["ends"]["supervisor"]
