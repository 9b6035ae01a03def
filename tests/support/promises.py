"""What must hold of the books and of the world at every moment, checked against what really happened to the pods."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from math import floor

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.api.amounts import Axis
from farthing.domain.outcome import Outcome
from farthing.ledger.balance import balance
from farthing.simulator.cluster import Cluster
from farthing.simulator.gang import Gang
from farthing.units import parse_amount

ZERO = Decimal(0)
ROUNDING = Decimal("0.000001")
TICK = 1
"""Seconds that a simulated end may lie after the last moment it was seen alive."""


class Promises:
    """Remembers what may only grow; `check` after every step."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.jobs: dict[str, BudgetedTrainingJob] = {}
        """The newest version of every job that ever was, by UID: what its limits are, also when it is gone."""
        self.checkpoints: dict[str, int] = {}
        self.lineages: dict[str, Decimal] = {}
        self.settled: dict[str, dict[Axis, Decimal]] = {}
        self.beyond: set[str] = set()
        """Attempts whose node failed together with their supervisor, or whose evidence an administrator destroyed unseen:
        what they hold is bounded by the books alone."""

    def check(self) -> None:
        """Everything."""
        self.jobs |= {job.metadata.uid: job for job in self.cluster.jobs.values()}
        for uid, job in self.jobs.items():
            self._job(job, self.records_of(uid))
        self._accounts()
        for key, record in self.cluster.records.items():
            self._bill(key, record)
        self._gangs()

    def records_of(self, uid: str) -> list[SpendRecord]:
        """A job's spend records, oldest first."""
        found = [record for record in self.cluster.records.values() if record.spec.job.uid == uid]
        return sorted(found, key=lambda record: record.spec.number)

    def _job(self, job: BudgetedTrainingJob, records: list[SpendRecord]) -> None:
        """Never over, no number twice, one open bill at most, a fold in any order, nothing committed is lost."""
        limits, uid = job.spec.budget.limits.as_decimals(), job.metadata.uid
        books = balance(limits, records, job.status.holds)
        for axis, limit in limits.items():
            taken = books.spent.get(axis, ZERO) + books.held.get(axis, ZERO)
            assert taken <= limit, f"{job.metadata.name}: {taken} {axis} of {limit}"
        for order in (records[::-1], records[1:] + records[:1], records + records):
            assert balance(limits, order, job.status.holds) == books
        assert [record.spec.number for record in records] == list(range(1, len(records) + 1))
        assert sum(record.status.phase == "Open" for record in records) <= 1
        assert self.lineages.get(uid, ZERO) <= books.spent[Axis.TOKENS], "the lineage fell back"
        self.lineages[uid] = books.spent[Axis.TOKENS]
        step = job.status.checkpoint.step if job.status.checkpoint is not None else 0
        assert self.checkpoints.get(uid, 0) <= step, "a committed checkpoint was forgotten"
        self.checkpoints[uid] = step
        self._truth(uid, limits)

    def _truth(self, uid: str, limits: dict[Axis, Decimal]) -> None:
        """Accelerator-seconds and tokens as they really were; one attempt alive at a time."""
        gangs = list(self._gangs_of(uid))
        seconds = sum((Decimal(_accelerators(gang) * self._held(gang)) for gang in gangs), ZERO)
        if Axis.ACCELERATOR_HOURS in limits:
            assert seconds <= limits[Axis.ACCELERATOR_HOURS] * 3600
        if Axis.TOKENS in limits:
            assert all(gang.trainer.tokens <= limits[Axis.TOKENS] for gang in gangs if gang.trainer and gang.behaviour.obeys)
        alive = [gang for gang in gangs if gang.bound_at is not None and gang.really_alive]
        assert len(alive) <= 1, f"two attempts of one job live: {[gang.manifest['metadata']['name'] for gang in alive]}"

    def _held(self, gang: Gang) -> float:
        """Seconds that the job answers for: pods that never ran, on a node out of sight, are the pool's after the hard end."""
        record = self.cluster.records[f"default/{gang.config.job.attempt}"]
        return gang.held_seconds if gang.trainer is not None else min(gang.held_seconds, record.spec.ends.hard)

    def _gangs_of(self, uid: str) -> Iterator[Gang]:
        """Those that could run: a Job made too late by a leader that woke starts nothing, and goes with the next cycle."""
        for key, gangs in self.cluster.history.items():
            if key not in self.beyond:
                yield from (gang for gang in gangs if gang.config.job.uid == uid and not gang.bare)

    def _accounts(self) -> None:
        """settled + held ≤ limit on every axis; what is settled never falls; an open bill's hold stands."""
        for key, budget in self.cluster.accounts.items():
            settled, status = budget.status.settled.as_decimals(), budget.status
            for axis, limit in budget.spec.limits.as_decimals().items():
                held = sum((hold.amounts.as_decimals().get(axis, ZERO) for hold in status.holds), ZERO)
                assert settled.get(axis, ZERO) + held <= limit, f"account {key}: over on {axis}"
            before = self.settled.get(key, {})
            assert all(settled.get(axis, ZERO) >= amount for axis, amount in before.items()), "something was refunded"
            self.settled[key] = settled
            accounted = {hold.attempt for hold in status.holds} | set(status.settled_attempts)
            own = (each for each in self.cluster.records.values() if each.spec.account == budget.metadata.name)
            open_bills = {record.spec.attempt for record in own if record.status.phase == "Open"}
            assert open_bills <= accounted, f"an open bill has no hold on account {key}"

    def _bill(self, key: str, record: SpendRecord) -> None:
        """A settled record: no gap, no second twice, no more than was held, no less than was really used."""
        if record.status.phase != "Settled":
            return
        intervals, status = record.status.intervals, record.status
        for before, after in pairwise(intervals):
            assert before.to == after.from_time
        billed = sum(interval.seconds for interval in intervals)
        charged = {} if status.charged is None else status.charged.as_decimals()
        for axis, held in record.spec.held.as_decimals().items():
            assert charged.get(axis, ZERO) <= held
        self._price(record, billed, charged.get(Axis.COST))
        if status.outcome == Outcome.STOPPED:
            assert status.lost_steps == 0
        if key not in self.beyond:
            held = sum(gang.held_seconds for gang in self.cluster.history.get(key, ()) if not gang.bare)
            assert billed >= min(floor(held), record.spec.ends.hard), f"{key}: {billed} s are less than {held} s"
            assert billed <= held + TICK + 2 or status.estimated, f"{key}: {billed} s are more than {held} s"

    def _price(self, record: SpendRecord, billed: int, cost: Decimal | None) -> None:
        """Between the cheapest and the dearest quote; the intervals add up."""
        if cost is None:
            return
        quotes = [record.spec.quote, *record.status.quotes]
        prices = [parse_amount(quote.per_accelerator_hour or "0") for quote in quotes]
        rent = Decimal(billed * record.spec.pods * record.spec.accelerators_per_pod) / 3600
        assert min(prices) * rent - ROUNDING <= cost <= max(prices) * rent + ROUNDING
        assert sum((parse_amount(interval.cost or "0") for interval in record.status.intervals), ZERO) == cost

    def _gangs(self) -> None:
        """Each gang that ever ran has one record and ran once; none outlives its hard end; none resumes behind a checkpoint."""
        now = self.cluster.clock.now()
        for key, gangs in self.cluster.history.items():
            ran = [gang for gang in gangs if gang.bound_at is not None and not gang.bare]
            assert len(ran) <= 1 or key in self.beyond, f"{key} ran twice"
            record = self.cluster.records[key]
            for gang in ran:
                if gang.trainer is not None and gang.really_alive and key not in self.beyond:
                    assert gang.bound_at is not None
                    assert now <= gang.bound_at + timedelta(seconds=record.spec.ends.hard), f"{key} outlived its hard end"
        for uid in self.jobs:
            self._resumes(uid)

    def _resumes(self, uid: str) -> None:
        """An attempt begins with the newest checkpoint of the one before, at most one interval behind its last step."""
        keys = [f"{record.metadata.namespace}/{record.spec.attempt}" for record in self.records_of(uid)]
        trainers = [gang.trainer for key in keys for gang in self.cluster.history.get(key, ()) if gang.trainer]
        trained = [trainer for trainer in trainers if trainer.config.stage == "Train"]
        for before, after in pairwise(trained):
            assert after.resumed.step >= before.durable.step, "resumed behind a committed checkpoint"
            per_step = before.config.tokens_per_step / (before.behaviour.tokens_per_second * before.config.world_size)
            lost = (before.step - after.resumed.step) * per_step
            assert lost <= before.behaviour.interval + before.behaviour.save + 2 * TICK + per_step, f"{lost} s are lost"


def _accelerators(gang: Gang) -> int:
    return gang.size * gang.config.processes_per_pod
