"""Properties of the policy over random clusters and over whole lives of random queues."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.builders import plan
from tests.unit.scheduler.builders import T0, candidate, gang, node, pool, view

from farthing.domain.scheduling import Candidate, NodeCapacity, PoolCapacity, Preempt, RunningGang, SchedulingView, Start, Wait
from farthing.scheduler.feasibility import freed, place, taken
from farthing.scheduler.outlook import Outlook
from farthing.scheduler.priority_urgency_age import GAIN_FACTOR, PriorityUrgencyAge

POLICY = PriorityUrgencyAge()
POOLS = ("cpu", "gpu")


@st.composite
def any_view(draw: st.DrawFn) -> SchedulingView:
    """Two pools of a few nodes, gangs that hold seats on them, and candidates with one to three plans."""
    free = {name: [draw(st.integers(0, 4)) for _ in range(draw(st.integers(1, 3)))] for name in POOLS}
    total = {name: list(counts) for name, counts in free.items()}
    running = []
    for number in range(draw(st.integers(0, 6))):
        where, size = draw(st.sampled_from(POOLS)), draw(st.integers(1, 2))
        seats = [draw(st.integers(0, len(free[where]) - 1)) for _ in range(draw(st.integers(1, 3)))]
        for seat in seats:
            total[where][seat] += size
        running.append(
            replace(
                gang(f"r{number}-1", *(f"{where}-{seat}" for seat in seats)),
                allocation=plan(pods=len(seats) + draw(st.integers(0, 1)), per_pod=size, pool=where).allocation,
                priority=draw(st.integers(0, 3)),
                lost_work_seconds=float(draw(st.integers(0, 100))),
                remaining_seconds=float(draw(st.integers(0, 1000))),
                stopping=draw(st.booleans()),
                preemptible=draw(st.booleans()),
            )
        )
    candidates = [
        candidate(
            f"c{number}",
            *draw(
                st.lists(
                    st.builds(
                        plan,
                        pods=st.integers(1, 4),
                        per_pod=st.integers(1, 2),
                        pool=st.sampled_from(POOLS),
                        startup=st.just(10.0),
                    ),
                    min_size=1,
                    max_size=3,
                )
            ),
            priority=draw(st.integers(0, 3)),
            urgency=draw(st.sampled_from([0.0, 0.5, 1.0])),
            created=T0 + timedelta(minutes=draw(st.integers(0, 5))),
            value_seconds=float(draw(st.integers(0, 2000))),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    pools = [
        PoolCapacity(
            name, tuple(NodeCapacity(f"{name}-{at}", total[name][at], free[name][at]) for at in range(len(free[name])))
        )
        for name in POOLS
    ]
    return view(candidates, running, *pools)


@given(any_view())
def test_starts_fit_what_is_free_after_everything_that_is_on_its_way(asked: SchedulingView) -> None:
    free = {one.name: Outlook.of(asked).now(one.name) for one in asked.pools}
    for verdict in POLICY.decide(asked):
        if isinstance(verdict, Start):
            allocation = verdict.plan.allocation
            seats = place(allocation, free[allocation.pool])
            assert seats is not None
            free[allocation.pool] = taken(free[allocation.pool], seats, allocation.accelerators_per_pod)
            assert all(one.free >= 0 for one in free[allocation.pool])


@given(any_view())
def test_each_candidate_gets_one_verdict_with_a_reason_and_numbers(asked: SchedulingView) -> None:
    verdicts = POLICY.decide(asked)
    counts = Counter(verdict.key for verdict in verdicts if not isinstance(verdict, Preempt))
    assert counts == Counter(one.key for one in asked.candidates)
    assert all(verdict.reason and verdict.numbers for verdict in verdicts)
    assert {verdict.for_key for verdict in verdicts if isinstance(verdict, Preempt)} <= {
        verdict.key for verdict in verdicts if isinstance(verdict, Wait)
    }


@given(any_view(), st.randoms(use_true_random=False))
def test_the_same_view_in_any_order_gets_the_same_answer(asked: SchedulingView, random: object) -> None:
    shuffled = {name: list(getattr(asked, name)) for name in ("candidates", "running", "pools")}
    for items in shuffled.values():
        random.shuffle(items)  # type: ignore[attr-defined]
    again = replace(asked, **{name: tuple(items) for name, items in shuffled.items()})
    assert POLICY.decide(again) == POLICY.decide(asked) == POLICY.decide(asked)


@given(any_view())
def test_preempted_gangs_are_lower_willing_and_worth_it_and_their_end_makes_room(asked: SchedulingView) -> None:
    verdicts = POLICY.decide(asked)
    running = {one.attempt: one for one in asked.running}
    wanting = {one.key: one for one in asked.candidates}
    sets: dict[str, list[RunningGang]] = defaultdict(list)
    told: dict[str, dict[str, str]] = {}
    for verdict in verdicts:
        if isinstance(verdict, Preempt):
            sets[verdict.for_key].append(running[verdict.attempt])
            told[verdict.for_key] = verdict.numbers
    stopped = [victim for victims in sets.values() for victim in victims]
    assert len({victim.attempt for victim in stopped}) == len(stopped), "nobody is stopped twice"
    nodes = {one.name: Outlook.of(asked).emptied().now(one.name) for one in asked.pools}
    for key, victims in sets.items():
        wanted = wanting[key]
        pool_name = victims[0].allocation.pool
        assert all(
            victim.preemptible
            and not victim.stopping
            and victim.priority < wanted.priority
            and victim.allocation.pool == pool_name
            for victim in victims
        )
        for victim in victims:
            nodes[pool_name] = freed(nodes[pool_name], victim.nodes, victim.allocation.accelerators_per_pod)
        fitting = [one for one in wanted.plans if one.allocation.pool == pool_name and place(one.allocation, nodes[pool_name])]
        assert fitting
        restarts = sum(victim.restart_seconds * victim.allocation.accelerators for victim in victims)
        gain, cost = (float(told[key][name]) for name in ("gain", "restartCost"))
        assert gain + 1 > GAIN_FACTOR * cost - 1
        assert abs(cost - restarts) <= 1  # whole numbers are told


@given(any_view())
def test_the_first_in_the_queue_is_never_delayed_by_those_behind_it(asked: SchedulingView) -> None:
    """Started jobs leave the first one its earliest second."""
    verdicts = POLICY.decide(asked)
    if not verdicts or not isinstance(verdicts[0], Wait):
        return
    first = next(one for one in asked.candidates if one.key == verdicts[0].key)
    before = Outlook.of(asked)
    after = before
    for verdict in verdicts[1:]:
        if isinstance(verdict, Start):
            lasts = verdict.plan.startup_seconds.value + next(
                one.value_seconds for one in asked.candidates if one.key == verdict.key
            )
            after = after.starting(verdict.key, verdict.plan.allocation, lasts)
    stopping = [verdict.attempt for verdict in verdicts if isinstance(verdict, Preempt)]
    earliest = [min(at.stopping(stopping).earliest(one.allocation) for one in first.plans) for at in (before, after)]
    if stopping and earliest[0] > 0.0:
        return  # others preempt on another pool: not the first one's business
    assert earliest[1] <= earliest[0]


@dataclass
class Queue:
    """A cluster of one node on a clock: whatever the policy says happens at once, and gangs end when they said they would."""

    size: int
    second: float = 0.0
    waiting: dict[str, Candidate] = field(default_factory=dict)
    running: dict[str, tuple[float, Start, int]] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)

    def cycle(self) -> None:
        self.running = {key: one for key, one in self.running.items() if one[0] > self.second}
        held = sum(start.plan.allocation.accelerators for _, start, _ in self.running.values())
        gangs = [
            replace(
                gang(f"{key}-1", *["n"] * start.plan.allocation.pods),
                allocation=start.plan.allocation,
                remaining_seconds=ends - self.second,
                priority=priority,
            )
            for key, (ends, start, priority) in self.running.items()
        ]
        asked = view(list(self.waiting.values()), gangs, pool(node("n", self.size - held, self.size)))
        for verdict in POLICY.decide(asked):
            assert not isinstance(verdict, Preempt), "equal priority preempts nobody"
            if isinstance(verdict, Start):
                job = self.waiting.pop(verdict.key)
                ends = self.second + verdict.plan.startup_seconds.value + job.value_seconds
                self.running[verdict.key] = (ends, verdict, job.priority)
                self.started[verdict.key] = self.second
        assert sum(start.plan.allocation.accelerators for _, start, _ in self.running.values()) <= self.size


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(10, 300)), min_size=30, max_size=30))
def test_a_stream_of_small_young_jobs_never_starves_a_large_old_one(small: list[tuple[int, int]]) -> None:
    """With equal priority and urgency, the old one starts as soon as the gangs that ran before it came have ended."""
    queue = Queue(size=4)
    queue.waiting["y-early"] = candidate("y-early", plan(pods=2), value_seconds=200.0, created=T0)
    queue.cycle()
    queue.waiting["z-large"] = candidate("z-large", plan(pods=4), created=T0 + timedelta(seconds=1), value_seconds=100.0)
    for number, (pods, seconds) in enumerate(small):
        key = f"small{number}"
        queue.waiting[key] = candidate(
            key, plan(pods=pods), created=T0 + timedelta(seconds=2 + number), value_seconds=float(seconds)
        )
        queue.second += 10.0
        queue.cycle()
    assert queue.started["z-large"] <= 210.0


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(10, 300)), min_size=2, max_size=12))
def test_every_job_of_a_finite_queue_starts_and_equals_start_by_age(jobs: list[tuple[int, int]]) -> None:
    queue = Queue(size=4)
    for number, (pods, seconds) in enumerate(jobs):
        key = f"j{99 - number}"
        queue.waiting[key] = candidate(
            key, plan(pods=pods), created=T0 + timedelta(seconds=number), value_seconds=float(seconds)
        )
    while queue.waiting:
        queue.cycle()
        queue.second += 10.0
    for pods in range(1, 5):
        same = [queue.started[f"j{99 - number}"] for number, one in enumerate(jobs) if one[0] == pods]
        lasts = [one[1] for one in jobs if one[0] == pods]
        assert all(early <= late for early, late, a, b in zip(same, same[1:], lasts, lasts[1:], strict=False) if a <= b)
