"""Any sequence of time, deaths, prices, suspensions, evictions and stale caches: never over, no attempt twice, bill = fold.

A short form of it runs always; the long one by `--hypothesis-profile` or HYPOTHESIS settings of the caller.
"""

import asyncio
from datetime import timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.lives import PERIOD, Life, a_cluster, a_job, an_account

from farthing.api.amounts import Axis
from farthing.domain.snapshot import Snapshot
from farthing.ledger.balance import balance
from farthing.simulator.faults import Crash, OperatorDied
from farthing.simulator.trainer import Behaviour

LIMIT = Decimal("0.06")
ACCOUNT = Decimal("0.10")
NAMES = ("first", "second")


class Farm(RuleBasedStateMachine):
    """Two jobs on one account in a small cluster with everything that can go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(a_cluster(slots=3))
        self.stale: Snapshot | None = None
        self.kubelet_died = False
        """Kubelet and supervisor failing together is beyond the promise (it is reported, never hidden)."""

    @initialize(native=st.booleans(), obeys=st.booleans(), supervised=st.booleans())
    def begin(self, native: bool, obeys: bool, supervised: bool) -> None:
        self.life = Life(a_cluster(slots=3), native_gangs=native)
        self.life.cluster.accounts["default/team-a"] = an_account(cost=str(ACCOUNT))
        for name in NAMES:
            self.life.cluster.behaviours[f"default/{name}"] = Behaviour(obeys=obeys or name == "second", supervised=supervised)
            self._create(name)

    @rule(cycles=st.integers(1, 6))
    def time_passes(self, cycles: int) -> None:
        for _ in range(cycles):
            self._cycle()
            self.life.cluster.advance(PERIOD)

    @rule(seconds=st.integers(1, 400))
    def the_operator_is_away(self, seconds: int) -> None:
        self.life.cluster.advance(seconds)
        self.life.restart()

    @rule(writes=st.integers(1, 12), when=st.sampled_from(["before", "after"]))
    def the_operator_dies_at_a_write(self, writes: int, when: str) -> None:
        self.life.world.writes.crash = Crash(self.life.world.writes.count + writes, when)  # type: ignore[arg-type]

    @rule(price=st.sampled_from(["0.10", "0.50", "1.00", "3.00"]))
    def the_price_changes(self, price: str) -> None:
        self.life.cluster.set_price("slots", price)

    @rule(name=st.sampled_from(NAMES), suspend=st.booleans())
    def the_user_suspends_or_resumes(self, name: str, suspend: bool) -> None:
        if f"default/{name}" in self.life.cluster.jobs:
            self.life.cluster.change_spec(f"default/{name}", suspend=suspend)

    @rule(name=st.sampled_from(NAMES), orphan=st.booleans())
    def the_user_deletes(self, name: str, orphan: bool) -> None:
        self.life.cluster.delete_job(f"default/{name}", orphan=orphan)

    @precondition(lambda self: len(self.life.cluster.jobs) < len(NAMES))
    @rule()
    def the_user_creates_it_again(self) -> None:
        for name in NAMES:
            if f"default/{name}" not in self.life.cluster.jobs:
                self._create(name)

    @rule(reachable=st.booleans())
    def the_kubelet_dies_or_returns(self, reachable: bool) -> None:
        self.kubelet_died = self.kubelet_died or not reachable
        self.life.cluster.set_reachable("node-0", reachable=reachable)

    @rule()
    def a_process_is_killed(self) -> None:
        for gang in self.life.cluster.gangs.values():
            if gang.trainer is not None:
                gang.trainer.kill(137)
                break

    @rule()
    def the_cache_falls_behind(self) -> None:
        """The next cycle sees what stood here now, whatever happens until then."""
        self.stale = asyncio.run(self.life.world.observe())

    @invariant()
    def nobody_is_over(self) -> None:
        cluster = self.life.cluster
        for uid in {record.spec.job.uid for record in cluster.records.values()}:
            own = [record for record in cluster.records.values() if record.spec.job.uid == uid]
            books = balance({Axis.COST: LIMIT}, own)
            assert books.spent.get(Axis.COST, Decimal(0)) + books.held.get(Axis.COST, Decimal(0)) <= LIMIT
            assert sum(record.status.phase == "Open" for record in own) <= 1
            assert sorted(record.spec.number for record in own) == list(range(1, len(own) + 1))
        account = cluster.accounts.get("default/team-a")
        if account is not None:
            held = sum((Decimal(hold.amounts.cost or "0") for hold in account.status.holds), Decimal(0))
            assert Decimal(account.status.settled.cost or "0") + held <= ACCOUNT

    @invariant()
    def a_gang_has_an_open_bill_and_never_outlives_its_hard_end(self) -> None:
        now = self.life.cluster.clock.now()
        for key, gang in self.life.cluster.gangs.items():
            record = self.life.cluster.records[key]
            bound = min((pod.bound_at for pod in gang.pods if pod.bound_at is not None), default=None)
            if bound is None or gang.trainer is None or gang.trainer.exit_code is not None:
                continue
            assert record.status.phase == "Open" or gang.job is None
            if gang.behaviour.supervised or not self.kubelet_died:
                assert now <= bound + timedelta(seconds=record.spec.ends.hard)

    def teardown(self) -> None:
        """However it went: mended, every bill closes, the account agrees with the records, and nothing is left."""
        cluster = self.life.cluster
        for node in cluster.nodes:
            cluster.set_reachable(node, reachable=True)
        for key in list(cluster.jobs):
            cluster.delete_job(key)
        for _ in range(30):
            self._cycle()
            cluster.advance(60)
        assert all(record.status.phase == "Settled" for record in cluster.records.values())
        assert not cluster.gangs
        assert not cluster.children
        self.nobody_is_over()
        account = cluster.accounts.get("default/team-a")
        if account is not None:
            charges = [record.status.charged for record in cluster.records.values() if record.status.charged is not None]
            assert Decimal(account.status.settled.cost or "0") == sum(
                (Decimal(each.cost or "0") for each in charges), Decimal(0)
            )
            assert account.status.holds == []

    def _create(self, name: str) -> None:
        budget = {"limits": {"cost": str(LIMIT)}, "currency": "USD", "accountRef": {"name": "team-a"}}
        compute = {"accelerators": {"min": 1, "max": 2}, "startupTimeout": "60s"}
        self.life.cluster.create_job(a_job(name, budget=budget, compute=compute))

    def _cycle(self) -> None:
        self.life.world.stale, self.stale = self.stale, None
        try:
            asyncio.run(self.life.cycle())
        except OperatorDied:
            self.life.restart()


TestFarm = Farm.TestCase
TestFarm.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
