"""Random resources on a real API server with the operator running: what the server takes, the operator answers.

A tenth of FARTHING_FUZZ (200 without it); all of them go through the engine in tests/unit/engine/test_fuzz.py.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.support.bench import PATIENCE, Bench, path_of
from tests.support.fuzz import TOWN, Town, named, towns
from tests.support.manifests import Manifest, changed
from tests.support.operating import Operator, operator
from tests.support.verdicts import answered, job_verdict
from tests.support.waiting import until

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.errors import Refused
from farthing.kube import resources as of
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

RESOURCES = int(os.environ.get("FARTHING_FUZZ", "2000")) // 10
MODELS = {model.__name__: model for model in (BudgetedTrainingJob, GPUNodePool, TrainingBudget, SpendRecord)}
CLEAN = ("Traceback (most recent call last)", "cannot be read and is left alone", "ended; leaving")
"""What must not stand in the operator's log."""


def drawn(count: int) -> list[Town]:
    """So many towns, the same in every run."""
    found: list[Town] = []

    @settings(
        max_examples=count, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(town=towns)
    def keep(town: Town) -> None:
        found.append(town)

    keep()
    return found


@pytest.fixture(scope="module")
def running(furnished: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator(furnished, tmp_path_factory.mktemp("operator"), "operator-fuzz") as started:
        yield started


@pytest.fixture
async def bench(running: Operator, client: Client, namespace: str) -> AsyncIterator[Bench]:
    """Nothing that was made outlives the test: other tests use the same nodes."""
    made = Bench(client, namespace)
    yield made
    for job in await client.list_items(of.TRAINING_JOBS.path(namespace)):
        await client.delete(of.TRAINING_JOBS.of(job))
    await made.in_order()
    for pool in await client.list_items(of.POOLS.path()):
        if pool["metadata"]["name"].startswith("fuzz-"):
            await client.delete(of.POOLS.of(pool))


def everything(town: Town, number: int, namespace: str) -> list[Manifest]:
    """The town's resources under names of their own."""
    return [
        *(named(each, f"fuzz-{number}-{index}") for index, each in enumerate(town.pools)),
        *(named(each, f"account-{index}-{number}", namespace) for index, each in enumerate(town.accounts)),
        *(named(each, f"bill-{number}-{index}", namespace) for index, each in enumerate(town.records)),
        *(_job(each, number, index, namespace) for index, each in enumerate(town.jobs)),
    ]


def _job(manifest: Manifest, number: int, index: int, namespace: str) -> Manifest:
    """A job draws on an account of its own town."""
    reference = manifest["spec"]["budget"].get("accountRef")
    own = {} if reference is None else {"spec.budget.accountRef": {"name": f"{reference['name']}-{number}"}}
    return changed(named(manifest, f"job-{number}-{index}", namespace), own)


async def submitted(bench: Bench, manifests: Sequence[Manifest]) -> tuple[list[Manifest], list[str]]:
    """What the API server took, and what it said to the others. Raises Unreachable where it stumbled over one."""
    taken: list[Manifest] = []
    refused: list[str] = []
    for manifest in manifests:
        try:
            taken.append(await bench.client.create(path_of(manifest, bench.namespace, collection=True), manifest))
        except Refused as error:
            refused.append(str(error))
    return taken, refused


def verdict(item: Manifest | None) -> bool:
    """Whether the operator's answer stands in it; a job may be gone by its own ttlSecondsAfterFinished."""
    if item is None:
        return True
    found = MODELS[item["kind"]].model_validate(item)
    if isinstance(found, BudgetedTrainingJob):
        return bool(job_verdict(found))
    if isinstance(found, SpendRecord):
        return found.status.phase == "Settled" or found.metadata.name.startswith("job-")
    return answered(found.status.conditions)


async def unanswered(bench: Bench, taken: Sequence[Manifest]) -> list[str]:
    """Names of those that nobody can tell where they got to."""
    now = await asyncio.gather(*(bench.client.get(path_of(each, bench.namespace)) for each in taken))
    return [each["metadata"]["name"] for each, item in zip(taken, now, strict=True) if not verdict(item)]


async def test_what_the_server_takes_the_operator_answers(running: Operator, bench: Bench) -> None:
    taken: list[Manifest] = []
    refused: list[str] = []
    for number, town in enumerate(drawn(max(1, RESOURCES // TOWN))):
        more, said = await submitted(bench, everything(town, number, bench.namespace))
        taken, refused = taken + more, refused + said
    assert len(refused) <= len(taken) // 20, refused

    async def all_answered() -> bool:
        return not await unanswered(bench, taken)

    try:
        await until(all_answered, "every resource has its answer", 3 * PATIENCE)
    except AssertionError as error:
        raise AssertionError(f"{error}: {await unanswered(bench, taken)}\n{running.log.read_text()[-4000:]}") from None
    assert running.process.poll() is None, "the operator lives"
    assert [each for each in CLEAN if each in running.log.read_text()] == []
    assert running.metric("farthing_cycle_failures_total") == 0
