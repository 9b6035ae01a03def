"""One life that every fault must leave as it is, and what is compared of it.

`tiny` draws on the account, is prepared and trains; `urgent`, of higher priority and with books of its own, takes its
accelerators and is deleted while it is prepared; `tiny` resumes, lands and is deleted.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.controller.faults.played import FLOPS_OF_A_STEP, STEPS, TOKENS_OF_A_STEP, Part, Troupe
from tests.controller.faults.room import PATIENCE_SECONDS, Stage
from tests.support.manifests import ACCOUNT, JOB, changed
from tests.support.waiting import until

from farthing.api import BudgetedTrainingJob, SpendRecord, TrainingBudget
from farthing.api.amounts import Axis
from farthing.contract.names import LABEL_ATTEMPT
from farthing.kube import resources as of
from farthing.kube.operator_key import SECRET
from farthing.units import parse_time

TINY, URGENT = "tiny", "urgent"
PRIORITY_CLASS = "faults-urgent"
LIMIT = Decimal(100)
CENT_A_SECOND = Decimal("0.001")
"""What `room.PRICE` comes to for one accelerator."""
CHILDREN = (of.PODS, of.JOBS, of.SERVICES, of.SECRETS, of.CONFIG_MAPS, of.NETWORK_POLICIES, of.POD_GROUPS)
MADE = ("spendrecords", "services", "secrets", "configmaps", "networkpolicies", "podgroups", "jobs")
"""What one attempt is made of."""
HASHED = re.compile(r"-[0-9a-f]{5}-(\d+)$")


@dataclass(frozen=True)
class Bill:
    """One spend record, less what depends on the seconds that its pods lived."""

    attempt: str
    stage: str
    outcome: str | None
    axes: frozenset[str]
    tokens: Decimal | None
    flops: Decimal | None
    last_step: int | None


@dataclass(frozen=True)
class End:
    """What is left of a life."""

    bills: tuple[Bill, ...]
    created: tuple[tuple[str, str], ...]
    """Everything that operators made, by kind and name, sorted: a child that was made twice stands here twice."""
    holds: int
    on_account: tuple[str, ...]
    asked: tuple[str, ...]
    """Attempts whose trainer was asked for a checkpoint before it was stopped."""


def wanted() -> End:
    """What every life comes to."""
    paid = frozenset({Axis.COST, Axis.ACCELERATOR_HOURS, Axis.FLOPS})
    nothing, tokens, flops = Decimal(0), Decimal(STEPS * TOKENS_OF_A_STEP), Decimal(STEPS * FLOPS_OF_A_STEP)
    bills = (
        Bill("tiny-1", "Prepare", "Prepared", paid, None, nothing, None),
        Bill("tiny-2", "Train", "Stopped", paid | {Axis.TOKENS}, tokens, flops, STEPS),
        Bill("tiny-3", "Train", "Landed", paid | {Axis.TOKENS}, tokens, flops, 2 * STEPS),
        Bill("urgent-1", "Prepare", "Deleted", paid, None, nothing, None),
    )
    made = [(resource, bill.attempt) for bill in bills for resource in MADE]
    created = tuple(sorted([*made, ("secrets", SECRET)]))
    return End(bills, created, holds=0, on_account=("tiny-1", "tiny-2", "tiny-3"), asked=("tiny-2",))


def script(job: str, stage: str, saves: int) -> Part:
    """What the trainers do."""
    if job == URGENT:
        return "stay"
    return "finish" if stage == "Prepare" or saves else "stay"


@dataclass
class Life:
    """The script of one life, told by what is seen, so that no fault can hurry it."""

    stage: Stage
    troupe: Troupe

    async def live(self) -> End:
        """From the first job to the last bill."""
        await self._create_account()
        await self._submit(TINY, **{"spec.budget.accountRef": {"name": "team"}})
        await self._plays(TINY, "Train", 0)
        await self._submit(URGENT, **{"spec.priorityClassName": PRIORITY_CLASS})
        await self._plays(URGENT, "Prepare", 0)
        await self._delete(URGENT)
        await self._plays(TINY, "Train", STEPS)
        await self._until(self._complete, "tiny is complete")
        await self._delete(TINY)
        await self._until(self._nothing_left, "every bill closed and no child left")
        return await self.end()

    async def _create_account(self) -> None:
        """The team's account."""
        manifest = changed(ACCOUNT, {"metadata.name": "team", "metadata.namespace": self.stage.namespace})
        manifest["spec"]["limits"] = {"cost": str(LIMIT)}
        await self.stage.client.create(of.ACCOUNTS.path(self.stage.namespace), manifest)

    async def end(self) -> End:
        """What is left, having checked that the bills are right."""
        records, account = await self.records(), await self.account()
        for record in records:
            self._check(record)
        settled = account.status.settled.as_decimals()
        spent = sum(_cost(record) for record in records if record.spec.account)
        assert settled[Axis.COST] == spent <= LIMIT, f"the account's {settled} are not its bills' {spent}"
        made = [each for kept in self.stage.operators for each in kept.proxy.log.created() if each[0] != "events"]
        return End(
            bills=tuple(_bill(record) for record in records),
            created=tuple(sorted((resource, plain(name)) for resource, name in made)),
            holds=len(account.status.holds),
            on_account=tuple(sorted(plain(each) for each in account.status.settled_attempts)),
            asked=tuple(sorted(plain(each.attempt) for each in self.troupe.trainers.values() if each.requests)),
        )

    async def records(self) -> list[SpendRecord]:
        """Every bill, by attempt."""
        found = await self.stage.client.list_items(of.RECORDS.path(self.stage.namespace))
        records = [SpendRecord.model_validate(each) for each in found]
        return sorted(records, key=lambda each: (each.spec.job.name, each.spec.number))

    async def account(self) -> TrainingBudget:
        """The team's account as it stands."""
        return TrainingBudget.model_validate(await self.stage.client.get(of.ACCOUNTS.path(self.stage.namespace, "team")))

    def _check(self, record: SpendRecord) -> None:
        """The bill says what the pods' own times say, to the second, and no more than was held."""
        pods = self.troupe.pods[record.spec.attempt].values()
        assert len(pods) == record.spec.pods, f"{record.spec.attempt} had {len(pods)} pods"
        starts = [time for pod in pods for time in _start_times(pod)]
        ends = [state["terminated"]["finishedAt"] for pod in pods for state in _states(pod)]
        seconds = int((parse_time(max(ends)) - parse_time(min(starts))).total_seconds()) + 1
        billed = sum(interval.seconds for interval in record.status.intervals)
        assert billed == seconds, f"{record.spec.attempt}: billed {billed} s, its pods lived {seconds} s"
        owed = seconds * record.spec.pods * record.spec.accelerators_per_pod * CENT_A_SECOND
        held = record.spec.held.as_decimals()[Axis.COST]
        assert not record.status.estimated, f"{record.spec.attempt}: {record.status.message}"
        assert _cost(record) == owed <= held, f"{record.spec.attempt}: {_cost(record)} charged, {owed} owed, {held} held"

    async def _submit(self, name: str, **changes: Any) -> None:
        manifest = changed(
            JOB,
            {
                "metadata.name": name,
                "metadata.namespace": self.stage.namespace,
                "spec.data.tokenizer": {"vocabularySize": 1024},
                "spec.data.sequenceLength": 256,
                "spec.training": {"globalBatchSize": 4},
                "spec.compute.accelerators": {"min": 2, "max": 2},
                "spec.checkpoint.storage": {"uri": "memory://checkpoints"},
                **changes,
            },
        )
        await self.stage.client.create(of.TRAINING_JOBS.path(self.stage.namespace), manifest)

    async def _delete(self, name: str) -> None:
        await self.stage.client.delete(of.TRAINING_JOBS.path(self.stage.namespace, name))

    async def _plays(self, job: str, stage: str, resumed_from: int) -> None:
        """Until an attempt of that stage runs that resumed there, and was asked how it does where it stays."""

        async def runs() -> bool:
            found = [
                each
                for each in self.troupe.trainers.values()
                if each.attempt.startswith(f"{job}-") and each.stage == stage and each.resumed_from == resumed_from
            ]
            return any(each.polled.is_set() or script(job, stage, resumed_from) == "finish" for each in found)

        await self._until(runs, f"{job} plays {stage} from step {resumed_from}")

    async def _complete(self) -> bool:
        found = await self.stage.client.get(of.TRAINING_JOBS.path(self.stage.namespace, TINY))
        return BudgetedTrainingJob.model_validate(found).status.state == "Complete"

    async def _nothing_left(self) -> bool:
        if any(each.status.phase != "Settled" for each in await self.records()) or (await self.account()).status.holds:
            return False
        if await self.stage.client.list_items(of.TRAINING_JOBS.path(self.stage.namespace)):
            return False
        for resource in CHILDREN:
            if await self.stage.client.list_items(resource.path(self.stage.namespace), selector=LABEL_ATTEMPT):
                return False
        return True

    async def _until(self, look: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            await until(look, what, PATIENCE_SECONDS)
        except AssertionError as error:
            last = [each for kept in self.stage.operators for each in kept.proxy.log.answers[-12:]]
            error.add_note("\n".join(f"{write}: {status}" for write, status in last))
            raise


def plain(name: str) -> str:
    """A name without the hash of its job's UID."""
    return HASHED.sub(r"-\1", name)


def _bill(record: SpendRecord) -> Bill:
    charged = record.status.charged.as_decimals() if record.status.charged is not None else {}
    return Bill(
        attempt=plain(record.spec.attempt),
        stage=record.spec.stage,
        outcome=record.status.outcome,
        axes=frozenset(charged),
        tokens=charged.get(Axis.TOKENS),
        flops=charged.get(Axis.FLOPS),
        last_step=record.status.last_step,
    )


def _cost(record: SpendRecord) -> Decimal:
    return record.status.charged.as_decimals()[Axis.COST] if record.status.charged is not None else Decimal(0)


def _start_times(pod: dict[str, Any]) -> list[str]:
    bound = [each["lastTransitionTime"] for each in pod["status"]["conditions"] if each["type"] == "PodScheduled"]
    return [*bound, pod["status"]["startTime"]]


def _states(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [each["state"] for each in pod["status"]["containerStatuses"]]
