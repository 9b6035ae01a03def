"""Whatever is held, run, lost, settled, repeated or forgotten in whatever order: spent + held ≤ limit on every axis."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule
from tests.unit.ledger.builders import T0, plan, pod, quote, record, running
from tests.unit.ledger.test_account import account, daily, written
from tests.unit.ledger.test_jobholds import job as a_job

from farthing.api.amounts import Axis, amounts
from farthing.api.budget import TrainingBudget
from farthing.api.job import BudgetedTrainingJob
from farthing.api.pool import PriceSpec
from farthing.api.spend import SpendRecord, SpendRecordStatus
from farthing.domain.decision import Lease
from farthing.domain.snapshot import Attempt, PodFacts
from farthing.errors import InsufficientBudget
from farthing.ledger import jobholds, quotes
from farthing.ledger.account import derived, held, remaining, with_hold, with_settlement, without_hold
from farthing.ledger.arithmetic import ZERO
from farthing.ledger.balance import balance
from farthing.ledger.lease import grant
from farthing.ledger.settle import settlement
from farthing.ledger.windows import limit_in_window

LIMITS = {"cost": "10", "accelerator_hours": "20"}
WANTED = st.fixed_dictionaries({Axis.COST: st.decimals(0, 12, places=6), Axis.ACCELERATOR_HOURS: st.decimals(0, 24, places=6)})
SHARE = st.fractions(0, 1)


class Account(RuleBasedStateMachine):
    """Leaders that crash, repeat themselves and work on stale copies, over one account with windows."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = T0
        self.versions: list[TrainingBudget] = [self.fresh()]
        self.bill: dict[str, dict[Axis, Decimal]] = {}
        self.started = 0

    def fresh(self) -> TrainingBudget:
        return daily(limits=LIMITS)

    @property
    def budget(self) -> TrainingBudget:
        return self.versions[-1]

    def write(self, base: TrainingBudget, status: object) -> bool:
        """A write under resourceVersion: refused unless it was made on the newest version."""
        if base is not self.budget:
            return False
        self.versions.append(written(base, status))  # type: ignore[arg-type]
        return True

    @rule(target=attempts, wanted=WANTED, staleness=st.integers(0, 2))
    def hold(self, wanted: dict[Axis, Decimal], staleness: int) -> object:
        self.started += 1
        base = self.versions[max(-len(self.versions), -1 - staleness)]
        try:
            status = with_hold(base, f"a-{self.started}", "lm", "u1", wanted, self.now)
        except InsufficientBudget:
            return multiple()
        return f"a-{self.started}" if self.write(base, status) else multiple()

    @rule(attempt=attempts, share=SHARE, repeats=st.integers(1, 3))
    def settle(self, attempt: str, share: object, repeats: int) -> None:
        """Settled, crashed before the record was closed, and settled again, perhaps on other evidence."""
        for _ in range(repeats):
            hold = next((one for one in self.budget.status.holds if one.attempt == attempt), None)
            whole = hold.amounts.as_decimals() if hold is not None else {Axis.COST: Decimal(1)}
            part = amounts({axis: min(whole[axis], whole[axis] * Decimal(str(float(share)))) for axis in whole})  # type: ignore[arg-type]
            charged = {axis: min(amount, whole[axis]) for axis, amount in part.as_decimals().items()}
            if attempt not in self.bill:
                self.bill[attempt] = charged
            self.write(self.budget, with_settlement(self.budget.status, attempt, charged))

    @rule(attempt=consumes(attempts))
    def release(self, attempt: str) -> None:
        """A start that was cut off after its first write."""
        self.write(self.budget, without_hold(self.budget.status, attempt))
        self.bill.setdefault(attempt, {})
        self.write(self.budget, with_settlement(self.budget.status, attempt, {}))

    @rule(hours=st.integers(-3, 40))
    def tick(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def derive(self) -> None:
        self.write(self.budget, derived(self.budget, self.now))
        assert derived(self.budget, self.now) is self.budget.status

    @invariant()
    def never_over(self) -> None:
        window = self.budget.status.window
        limits, holds = limit_in_window(self.budget, window), held(self.budget.status)
        for axis, limit in limits.items():
            assert self.budget.status.spent.as_decimals().get(axis, ZERO) + holds.get(axis, ZERO) <= limit
        assert all(left >= 0 for left in remaining(self.budget, self.now).values())

    @invariant()
    def every_bill_counts_once(self) -> None:
        for axis in (Axis.COST, Axis.ACCELERATOR_HOURS):
            billed = sum((charged.get(axis, ZERO) for charged in self.bill.values()), ZERO)
            assert self.budget.status.settled.as_decimals().get(axis, ZERO) == billed


class CarryingAccount(Account):
    """The same with what is left over carried on: all windows together never pay for more than their limits."""

    def fresh(self) -> TrainingBudget:
        return daily(limits=LIMITS, carry_over=True)

    @invariant()
    def all_windows_together(self) -> None:
        window = self.budget.status.window
        if window is not None:
            days = (datetime.fromisoformat(window.end) - T0) / timedelta(days=1)
            settled, holds = self.budget.status.settled.as_decimals(), held(self.budget.status)
            assert settled.get(Axis.COST, ZERO) + holds.get(Axis.COST, ZERO) <= 10 * Decimal(days)


class PlainAccount(Account):
    """The same without windows."""

    def fresh(self) -> TrainingBudget:
        return account(LIMITS)


@dataclass(frozen=True)
class Life:
    """One attempt as it really was, whatever the ledger is told of it."""

    record: SpendRecord
    bound: int
    pods: tuple[PodFacts, ...] = ()
    ended: bool = False


class Job(RuleBasedStateMachine):
    """A job that draws on no account: lease, hold, record, price changes, death at any second, crashes between all writes."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0
        self.job: BudgetedTrainingJob = a_job(cost="0.10", acceleratorHours="0.3")
        self.records: dict[str, SpendRecord] = {}
        self.life: Life | None = None
        self.lease: Lease | None = None
        self.opening: str | None = None
        self.price = Decimal("0.5")
        self.true_cost = Decimal(0)

    @property
    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.second)

    @property
    def limits(self) -> dict[Axis, Decimal]:
        return self.job.spec.budget.limits.as_decimals()

    def write(self, status: object) -> None:
        self.job = self.job.model_copy(update={"status": status})

    @precondition(lambda self: self.life is None)
    @rule(crash=st.booleans(), wanted=st.none() | st.integers(30, 200))
    def start(self, crash: bool, wanted: int | None) -> None:
        """Hold, then (unless it crashed in between) the record; the next leader goes on under the same name."""
        name = self.opening or f"lm-abcde-{len(self.records) + 1}"
        if self.opening is None:
            books = balance(self.limits, self.records.values(), self.job.status.holds)
            try:
                self.lease = grant(
                    plan(),
                    books.remaining,
                    quote=quote(f"{self.price:f}", at=self.second),
                    seconds_to_deadline=None,
                    seconds_wanted=wanted,
                    control_period=1,
                    controller_lag=1,
                    startup_timeout=60,
                    tokens_limit=None,
                )
            except InsufficientBudget:
                return
            self.write(jobholds.with_hold(self.job, name, self.lease.held, self.records.values()))
        assert self.lease is not None
        self.opening = name if crash else None
        if not crash:
            opened = record(
                number=len(self.records) + 1,
                price=f"{self.price:f}",
                ends=self.lease.ends,
                held=dict(self.lease.held),
                opened_at=self.now.isoformat(),
                quote=self.lease.quote,
            )
            self.records[name] = opened
            self.life = Life(opened, self.second)

    @rule(seconds=st.integers(0, 60))
    def tick(self, seconds: int) -> None:
        self.second += seconds

    @rule(price=st.sampled_from(["0.1", "0.5", "1", "4"]))
    def reprice(self, price: str) -> None:
        self.price = Decimal(price)

    @precondition(lambda self: self.life is not None and not self.life.ended)
    @rule()
    def quote(self) -> None:
        assert self.life is not None
        offer = PriceSpec(per_accelerator_hour=f"{self.price:f}", currency="USD", source="s")
        bound_at = T0 + timedelta(seconds=self.life.bound)
        new = quotes.boundary(self.life.record, offer, self.now, started_at=bound_at)
        if new is not None:
            status = SpendRecordStatus(quotes=[*self.life.record.status.quotes, new])
            self.replace_record(self.life.record.model_copy(update={"status": status}))

    @precondition(lambda self: self.life is not None and not self.life.ended)
    @rule(code=st.sampled_from([0, 1, 75, 76, 137, 143, 255]), forgotten=st.integers(0, 2))
    def end(self, code: int, forgotten: int) -> None:
        """It ends now, at the latest where its hard end in force is; then some of its pods are forgotten."""
        assert self.life is not None
        start = T0 + timedelta(seconds=self.life.bound)
        latest = quotes.hard_end_second(self.life.record, start)
        lasted = min(self.second - self.life.bound, latest - 1)
        when = {"bound_at": start, "started_at": start, "finished_at": start + timedelta(seconds=lasted), "exit_code": code}
        pods = (pod(0, **when), pod(1, **when))[forgotten:]
        self.life = replace(self.life, pods=pods, ended=True)
        self.true_cost += quotes.rent(self.life.record, start, lasted)

    @precondition(lambda self: self.life is not None)
    @rule(crash=st.booleans(), unreachable=st.booleans())
    def settle(self, crash: bool, unreachable: bool) -> None:
        """The hold goes first, then the record is closed; a crash in between leaves the open record to hold it."""
        assert self.life is not None
        start = T0 + timedelta(seconds=self.life.bound)
        pods = (
            self.life.pods if self.life.ended else tuple(running(index, bound_at=start, started_at=start) for index in (0, 1))
        )
        seen = self.records[self.life.record.spec.attempt].model_copy()
        noted = seen.status.model_copy(update={"started_at": start.isoformat()})
        what = Attempt(
            record=seen.model_copy(update={"status": noted}), pods=pods, unreachable_nodes=("n1",) if unreachable else ()
        )
        hard_end = self.life.bound + self.life.record.spec.ends.hard
        if not self.life.ended and self.second < hard_end:
            return
        status = settlement(what, now=self.now, acknowledged=False, deleted=False)
        assert status.charged is not None
        self.write(jobholds.with_settlement(self.job.status, what.name, status.charged.as_decimals()))
        if not crash:
            self.replace_record(seen.model_copy(update={"status": status}))
            self.life = None

    def replace_record(self, new: SpendRecord) -> None:
        assert self.life is not None
        self.records[new.spec.attempt] = new
        self.life = replace(self.life, record=new)

    @invariant()
    def never_over(self) -> None:
        books = balance(self.limits, self.records.values(), self.job.status.holds)
        for axis, limit in self.limits.items():
            assert books.spent.get(axis, ZERO) + books.held.get(axis, ZERO) <= limit
        assert all(left >= 0 for left in books.remaining.values())

    @invariant()
    def what_ran_is_on_the_bill_or_held_for(self) -> None:
        books = balance(self.limits, self.records.values(), self.job.status.holds)
        assert self.true_cost <= books.spent[Axis.COST] + books.held.get(Axis.COST, ZERO)


STEPS = settings(max_examples=40, stateful_step_count=40)
TestAccount = Account.TestCase
TestAccount.settings = STEPS
TestCarryingAccount = CarryingAccount.TestCase
TestCarryingAccount.settings = STEPS
TestPlainAccount = PlainAccount.TestCase
TestPlainAccount.settings = STEPS
TestJob = Job.TestCase
TestJob.settings = STEPS
