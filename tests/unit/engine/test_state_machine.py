"""Ledger and engine together under any sequence of faults: never over, never lost, no attempt twice (`tests.support.promises`).

10,000 steps in CI; FARTHING_LONG=1 makes ten times as many. Derandomized: the same steps each time.
"""

import os
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.lives import START, a_cluster, a_job, an_account
from tests.support.operators import Operators
from tests.support.promises import Promises

from farthing.simulator.cluster import Cascade, Node
from farthing.simulator.faults import Crash
from farthing.simulator.trainer import Behaviour
from farthing.simulator.watches import KINDS
from farthing.simulator.world import InMemoryWorld
from farthing.units import format_time

LONG = os.environ.get("FARTHING_LONG") == "1"
EXAMPLES, STEPS = (3300 if LONG else 330), 42
AT_LEAST = 100_000 if LONG else 10_000

NAMES = ("first", "second")
NODES = ("node-0", "node-1")
LIMITS: tuple[dict[str, str], ...] = (
    {"cost": "0.06"},
    {"acceleratorHours": "0.12"},
    {"cost": "0.06", "flops": "1.5e12"},
    {"tokens": "150000"},
    {"cost": "0.05", "tokens": "200000"},
)
ACCOUNTS: tuple[dict[str, str] | None, ...] = (None, {"cost": "0.10"}, {"cost": "0.10", "acceleratorHours": "0.25"})
picks = st.integers(0, 11)


class Farm(RuleBasedStateMachine):
    """Two jobs in a cluster of two nodes, one leading operator, and everything that can go wrong between them."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.begin(native=True, account=None, deadline=False, trainers=[Behaviour()] * 2, limits=[LIMITS[0]] * 2)

    @initialize(
        native=st.booleans(),
        account=st.sampled_from(ACCOUNTS),
        deadline=st.booleans(),
        trainers=st.lists(
            st.builds(
                Behaviour,
                obeys=st.sampled_from([True, True, False]),
                supervised=st.sampled_from([True, True, False]),
                answers=st.sampled_from([True, True, True, False]),
                pulls=st.sampled_from([True, True, True, False]),
                tokens_per_second=st.sampled_from([500.0, 2000.0, 4000.0]),
            ),
            min_size=2,
            max_size=2,
        ),
        limits=st.lists(st.sampled_from(LIMITS), min_size=2, max_size=2),
    )
    def begin(
        self,
        native: bool,
        account: dict[str, str] | None,
        deadline: bool,
        trainers: list[Behaviour],
        limits: list[dict[str, str]],
    ) -> None:
        self.cluster = a_cluster(slots=2, nodes=2)
        self.operators = Operators(self.cluster, native_gangs=native)
        self.promises = Promises(self.cluster)
        self.former: InMemoryWorld | None = None
        self.kubelets_died = False
        self.deadline = format_time(START + timedelta(minutes=12)) if deadline else None
        self.account = account
        if account is not None:
            team = an_account(cost=account["cost"]).to_dict()
            team["spec"]["limits"] = account
            self.cluster.accounts["default/team-a"] = type(an_account()).model_validate(team)
        self.limits = {}
        for name, behaviour, limit in zip(NAMES, trainers, limits, strict=True):
            # Tokens are what the trainer counts: nobody else can stop one that lies about them, but time and money do.
            self.limits[name] = LIMITS[0] if "tokens" in limit and not behaviour.obeys else limit
            self.cluster.behaviours[f"default/{name}"] = behaviour
            self._create(name)

    # Time and operators.

    @rule(cycles=st.integers(1, 6))
    def time_passes(self, cycles: int) -> None:
        self.operators.run(cycles)

    @rule(cycles=st.integers(1, 6))
    def much_time_passes(self, cycles: int) -> None:
        self.operators.run(cycles, period=60)

    @rule()
    def everything_of_this_moment_is_done(self) -> None:
        if self.operators.undisturbed:
            self.operators.settle_down()

    @rule(seconds=st.integers(1, 400))
    def the_operator_is_away(self, seconds: int) -> None:
        self.cluster.advance(seconds)
        self.operators.take_over()

    @rule(write=st.integers(1, 12), when=st.sampled_from(["before", "after"]))
    def the_operator_will_die_at_a_write(self, write: int, when: Any) -> None:
        self.operators.die_at(Crash(write, when))

    @rule(write=st.integers(1, 12), cycles=st.integers(1, 8))
    def the_operator_will_be_paused_at_a_write(self, write: int, cycles: int) -> None:
        self.operators.pause_at(write, cycles)

    @rule(seconds=st.sampled_from([-3600, -60, -6, 6, 60, 3600]))
    def the_operators_clock_is_stepped(self, seconds: int) -> None:
        self.operators.clock.step(seconds)

    @precondition(lambda self: self.former is None)
    @rule()
    def a_leader_falls_asleep(self) -> None:
        self.former = self.operators.blindfolded()

    @precondition(lambda self: self.former is not None)
    @rule()
    def a_former_leader_wakes(self) -> None:
        assert self.former is not None
        self.operators.cycle_of(self.former)
        self.former = None

    # What it sees.

    @rule(kinds=st.sets(st.sampled_from(KINDS), min_size=1))
    def watches_hang(self, kinds: set[Any]) -> None:
        self.operators.leader.watches.hang(*kinds)

    @rule(kind=st.sampled_from(KINDS), pick=picks, lost=st.booleans())
    def an_event_is_lost_or_told_again(self, kind: Any, pick: int, lost: bool) -> None:
        there = {"batch": self.cluster.gangs, "pods": self.cluster.gangs}.get(kind) or getattr(self.cluster, kind, {})
        if there:
            watches, key = self.operators.leader.watches, sorted(there)[pick % len(there)]
            (watches.lose if lost else watches.repeat)(kind, key)

    @rule()
    def every_watch_starts_anew(self) -> None:
        self.operators.leader.watches.relist()

    # Users.

    @rule(name=st.sampled_from(NAMES), suspend=st.booleans())
    def the_user_suspends_or_resumes(self, name: str, suspend: bool) -> None:
        if f"default/{name}" in self.cluster.jobs:
            self.cluster.change_spec(f"default/{name}", suspend=suspend)

    @rule(name=st.sampled_from(NAMES), orphan=st.booleans())
    def the_user_deletes(self, name: str, orphan: bool) -> None:
        self.cluster.delete_job(f"default/{name}", orphan=orphan)

    @precondition(lambda self: len(self.cluster.jobs) < len(NAMES))
    @rule()
    def the_user_creates_it_again(self) -> None:
        for name in NAMES:
            if f"default/{name}" not in self.cluster.jobs:
                self._create(name)

    @rule(name=st.sampled_from(NAMES))
    def the_user_raises_a_limit(self, name: str) -> None:
        job = self.cluster.jobs.get(f"default/{name}")
        if job is not None:
            raised = {axis: format(Decimal(amount) * 2, "f") for axis, amount in self.limits[name].items()}
            self.cluster.change_spec(f"default/{name}", budget__limits=raised)

    @rule(price=st.sampled_from(["0.10", "0.50", "1.00", "3.00"]))
    def the_price_changes(self, price: str) -> None:
        self.cluster.set_price("slots", price)

    # Nodes, pods and evidence.

    @rule(node=st.sampled_from(NODES), reachable=st.booleans())
    def a_kubelet_dies_or_returns(self, node: str, reachable: bool) -> None:
        if node in self.cluster.nodes:
            self.kubelets_died = self.kubelets_died or not reachable
            self.cluster.set_reachable(node, reachable=reachable)

    @rule(node=st.sampled_from(NODES), away=st.integers(0, 300))
    def a_node_reboots(self, node: str, away: int) -> None:
        """Its kubelet comes back with nothing but its own time to tell."""
        if node in self.cluster.nodes:
            self.cluster.set_reachable(node, reachable=False)
            self.cluster.reboot_node(node)
            self.operators.run(away // 60 + 1, period=away / (away // 60 + 1))
            if node in self.cluster.nodes:
                self.cluster.set_reachable(node, reachable=True)

    @rule(node=st.sampled_from(NODES))
    def a_node_is_lost_or_replaced(self, node: str) -> None:
        if node in self.cluster.nodes:
            self.cluster.lose_node(node)
        elif node not in self.cluster.lost_nodes:
            self.cluster.nodes[node] = Node("slots", 2)

    @precondition(lambda self: self.cluster.gangs)
    @rule(pick=picks, code=st.sampled_from([1, 75, 137]))
    def a_process_is_killed(self, pick: int, code: int) -> None:
        gang = self.cluster.gangs[self._gang(pick)]
        if gang.trainer is not None:
            gang.trainer.kill(code)

    @precondition(lambda self: self.cluster.gangs)
    @rule(pick=picks, cascade=st.sampled_from(["Background", "Foreground", "Orphan"]))
    def a_batch_job_is_deleted(self, pick: int, cascade: Cascade) -> None:
        self.cluster.delete_gang(self._gang(pick), cascade)

    @precondition(lambda self: self.cluster.gangs)
    @rule(pick=picks)
    def the_pods_evidence_is_destroyed(self, pick: int) -> None:
        """By an administrator, on a node in sight: force, and the ledger's finalizer stripped."""
        key = self._gang(pick)
        gang = self.cluster.gangs[key]
        if gang.pods and all(self.cluster.sees(node) for node in gang.occupied()):
            gang.forget()
            self.cluster.collect(key)

    # What must hold.

    @invariant()
    def the_books_and_the_world_agree(self) -> None:
        Farm.steps += 1
        self._note_what_is_beyond_the_promise()
        self.promises.check()

    def teardown(self) -> None:
        """However it went: mended, every bill closes, the account agrees with the records, and nothing is left."""
        self.operators.take_over()
        self.operators.clock.offset = timedelta()
        for node in NODES:
            self.cluster.nodes[node] = Node("slots", 2)
        for key in list(self.cluster.jobs):
            self.cluster.delete_job(key)
        self.operators.run(40, period=60)
        while any(record.status.phase == "Open" for record in self.cluster.records.values()):
            assert self.cluster.clock.now() < START + timedelta(days=5), "a bill stays open"
            self.operators.run(1, period=900, step=15)  # opened by a clock that was ahead: too long ago only later
        assert all(record.status.phase == "Settled" for record in self.cluster.records.values())
        assert not self.cluster.gangs
        assert not self.cluster.children
        self.the_books_and_the_world_agree()
        for account in self.cluster.accounts.values():
            charges = [record.status.charged for record in self.cluster.records.values() if record.status.charged is not None]
            assert account.status.holds == []
            assert Decimal(account.status.settled.cost or "0") == sum(
                (Decimal(each.cost or "0") for each in charges), Decimal(0)
            )

    def _create(self, name: str) -> None:
        budget: dict[str, Any] = {"limits": self.limits[name], "currency": "USD"}
        if self.account is not None:
            budget["accountRef"] = {"name": "team-a"}
        if self.deadline is not None:
            budget["deadline"] = self.deadline
        compute = {"accelerators": {"min": 1, "max": 2}, "startupTimeout": "60s"}
        self.cluster.create_job(a_job(name, budget=budget, compute=compute))

    def _gang(self, pick: int) -> str:
        return sorted(self.cluster.gangs)[pick % len(self.cluster.gangs)]

    def _note_what_is_beyond_the_promise(self) -> None:
        """Kubelet and supervisor of a pod failing together, and an administrator who destroys pods and Job."""
        for key, gangs in self.cluster.history.items():
            unwatched = self.kubelets_died and any(not gang.behaviour.supervised for gang in gangs)
            if unwatched or any(gang.forgotten and (gang.job is None or gang.deadline_hit) for gang in gangs):
                self.promises.beyond.add(key)


def test_any_sequence_of_faults() -> None:
    Farm.steps = 0
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Farm,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{Farm.steps} machine steps")
    assert Farm.steps >= AT_LEAST
