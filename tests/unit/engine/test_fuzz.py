"""Random resources of all four kinds, twenty to a cluster, through the engine: nothing that a user can write stops it.

FARTHING_FUZZ is how many resources are tried in all (2,000 without it).
"""

import os

from hypothesis import HealthCheck, Phase, given, settings
from tests.support.fuzz import TOWN, Town, named, towns
from tests.support.lives import Life, a_cluster, a_job
from tests.support.verdicts import answered, job_verdict

from farthing.api import GPUNodePool, SpendRecord, TrainingBudget
from farthing.engine.lifecycle import State
from farthing.simulator.cluster import Cluster, Node

RESOURCES = int(os.environ.get("FARTHING_FUZZ", "2000"))


def populate(cluster: Cluster, town: Town) -> None:
    """Everything applied at once, with two nodes for each pool."""
    for index, manifest in enumerate(town.pools):
        pool = GPUNodePool.model_validate(named(manifest, f"pool-{index}"))
        cluster.pools[pool.metadata.name] = pool
        for node in range(2):
            cluster.nodes[f"{pool.metadata.name}-{node}"] = Node(pool.metadata.name, min(pool.spec.accelerators_per_node, 8))
    for index, manifest in enumerate(town.accounts):
        name = f"account-{index}"
        cluster.accounts[f"default/{name}"] = TrainingBudget.model_validate(named(manifest, name, "default"))
    for index, manifest in enumerate(town.records):
        name = f"bill-{index}"
        cluster.records[f"default/{name}"] = SpendRecord.model_validate(named(manifest, name, "default"))
    for index, manifest in enumerate(town.jobs):
        cluster.create_job(named(manifest, f"job-{index}", "default"))


def verdict(life: Life, name: str) -> str:
    """Where a job got to; it may be gone by its own ttlSecondsAfterFinished."""
    job = life.cluster.jobs.get(f"default/{name}")
    return State.DELETED if job is None else job_verdict(job)


@given(town=towns)
@settings(
    max_examples=max(1, RESOURCES // TOWN), database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
async def test_whatever_is_written_ends_ready_running_or_with_a_named_condition(town: Town) -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job("canary", priorityClassName="urgent"))
    populate(life.cluster, town)
    await life.run(40)
    assert life.records("canary"), "an honest job starts beside all of them"
    cluster = life.cluster
    assert [name for name in town.job_names if not verdict(life, name)] == []
    assert [pool.metadata.name for pool in cluster.pools.values() if not answered(pool.status.conditions)] == []
    assert [key for key, each in cluster.accounts.items() if not answered(each.status.conditions)] == []
    assert [
        key for key, each in cluster.records.items() if key.startswith("default/bill-") and each.status.phase == "Open"
    ] == []
