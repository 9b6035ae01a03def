from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ledger.builders import plan
from tests.unit.scheduler.builders import T0, candidate, gang, node, pool, view

from farthing.domain.scheduling import Preempt, SchedulingView, Start, Verdict, Wait
from farthing.scheduler.priority_urgency_age import PriorityUrgencyAge


def decide(asked: SchedulingView) -> list[Verdict]:
    return list(PriorityUrgencyAge().decide(asked))


def brief(asked: SchedulingView) -> list[tuple[str, str]]:
    return [
        (type(verdict).__name__, verdict.attempt if isinstance(verdict, Preempt) else verdict.key) for verdict in decide(asked)
    ]


def test_a_gang_that_fits_starts_and_says_why() -> None:
    (verdict,) = decide(view([candidate()], [], pool(node("n", 2))))
    assert isinstance(verdict, Start)
    assert (
        verdict.reason == "its whole gang of 2 pods of 1 on cpu fits: 2 accelerators are free there (priority 0, urgency 0.00)"
    )
    assert verdict.numbers == {
        "priority": "0",
        "urgency": "0.00",
        "wantedSeconds": "600",
        "pool": "cpu",
        "accelerators": "2",
        "free": "2",
    }


def test_priority_then_urgency_then_age_then_name() -> None:
    older = T0 - timedelta(hours=1)
    jobs = [
        candidate("z", created=older),
        candidate("e"),
        candidate("c", urgency=0.9),
        candidate("b", priority=1, urgency=0.1),
        candidate("a", priority=1, urgency=0.5),
        candidate("f"),
    ]
    assert [key for _, key in brief(view(jobs, [], pool()))] == ["a", "b", "c", "z", "e", "f"]


def test_capacity_that_one_job_takes_is_gone_for_the_next() -> None:
    jobs = [candidate("a"), candidate("b")]
    assert brief(view(jobs, [], pool(node("n", 3)))) == [("Start", "a"), ("Wait", "b")]


def test_the_best_plan_that_fits_now_is_taken() -> None:
    job = candidate("a", plan(pods=4), plan(pods=2), plan(pods=1))
    (verdict,) = decide(view([job], [], pool(node("n", 3))))
    assert isinstance(verdict, Start)
    assert verdict.plan.allocation.pods == 2


def test_it_waits_for_gangs_that_are_stopping_rather_than_take_a_worse_plan_or_preempt() -> None:
    job = candidate("a", plan(pods=2), plan(pods=1), priority=9)
    stopping = gang("s-1", "n", stopping=True)
    (verdict,) = decide(view([job], [stopping, gang("v-1", "n")], pool(node("n", 1, 3))))
    assert isinstance(verdict, Wait)
    assert verdict.reason == "waits for gangs that are stopping already: then its gang of 2 pods of 1 on cpu fits"


def test_what_a_stopping_gang_leaves_is_kept_for_the_job_that_waits_for_it() -> None:
    jobs = [candidate("a", plan(pods=2)), candidate("b", plan(pods=1), value_seconds=1)]
    asked = view(jobs, [gang("s-1", "n", stopping=True)], pool(node("n", 1, 2)))
    assert brief(asked) == [("Wait", "a"), ("Wait", "b")]


def test_it_preempts_for_a_higher_priority() -> None:
    job = candidate("urgent", plan(pods=2), priority=5)
    verdicts = decide(view([job], [gang("b-1", "n", "n")], pool(node("n", 0, 2))))
    preempt, wait = verdicts
    assert isinstance(preempt, Preempt)
    assert isinstance(wait, Wait)
    assert (preempt.key, preempt.attempt, preempt.for_key) == ("team/b", "b-1", "urgent")
    assert preempt.reason == (
        "makes room for urgent (priority 5, 2 pods of 1 on cpu): spares it 2000 accelerator-seconds of waiting for 20"
        " of start-up; 25 are lost with b-1"
    )
    assert preempt.numbers["restartCost"] == "20"
    assert wait.reason == "waits for b-1 to stop: then its gang of 2 pods of 1 on cpu fits"


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"priority": 5}, "equal priority"),
        ({"priority": 6}, "higher priority"),
        ({"preemptible": False}, "not preemptible"),
    ],
)
def test_it_never_preempts(facts: dict[str, object], what: str) -> None:
    job = candidate("urgent", plan(pods=2), priority=5)
    assert brief(view([job], [gang("b-1", "n", "n", **facts)], pool(node("n", 0, 2)))) == [("Wait", "urgent")], what


def test_it_never_preempts_for_a_gain_of_no_more_than_twice_the_start_up() -> None:
    """Gain 2 × the seconds it would wait; the victim's start-up 2 × 10. Its own is paid whenever it starts."""
    nodes, job = pool(node("n", 0, 2)), candidate("u", plan(startup=900.0), priority=5)
    (verdict,) = decide(view([job], [gang("b-1", "n", "n", remaining_seconds=20.0)], nodes))
    assert isinstance(verdict, Wait)
    refusal = "stopping b-1 would spare 40 accelerator-seconds of waiting, no more than 2 × the 20 of starting again"
    assert refusal in verdict.reason
    assert "room is expected in 20s" in verdict.reason
    assert len(decide(view([job], [gang("b-1", "n", "n", remaining_seconds=20.5)], nodes))) == 2


def test_behind_a_prepare_attempt_waits_a_whole_gang_and_its_waiting_counts() -> None:
    """One accelerator to prepare, eight to train: 30 s of waiting spare 240 accelerator-seconds, not 30."""
    nodes, running = pool(node("n", 0, 2)), [gang("b-1", "n", "n", remaining_seconds=30.0)]
    prepare = plan(pods=1)
    assert brief(view([candidate("u", prepare, priority=5)], running, nodes)) == [("Wait", "u")]
    behind = candidate("u", prepare, priority=5, accelerators_behind=8)
    preempt = decide(view([behind], running, nodes))[0]
    assert isinstance(preempt, Preempt)
    assert preempt.numbers["gain"] == "240"


def test_room_is_kept_for_the_gang_that_follows_a_prepare_attempt() -> None:
    preparing = candidate("team/u", plan(pods=2), priority=5, ready=False)
    own = gang("u-1", "n", priority=5, remaining_seconds=400.0)
    waiting = candidate("team/b", plan(pods=1))
    verdicts = decide(view([waiting, preparing], [own], pool(node("n", 1, 2))))
    assert [type(each) for each in verdicts] == [Wait, Wait]
    assert verdicts[0].reason == "is being prepared; room is kept for 2 pods of 1 on cpu"
    assert "would delay team/u" in verdicts[1].reason


def test_a_job_that_is_being_prepared_stops_nobody_yet() -> None:
    preparing = candidate("team/u", plan(pods=2), priority=5, ready=False)
    assert brief(view([preparing], [gang("b-1", "n")], pool(node("n", 1, 2)))) == [("Wait", "team/u")]


def test_it_stops_the_gangs_that_lose_the_least() -> None:
    dear = gang("dear-1", "n", lost_work_seconds=300.0)
    cheap = gang("cheap-1", "n", lost_work_seconds=10.0)
    whole = gang("whole-1", "m", "m", lost_work_seconds=200.0)
    nodes = pool(node("n", 0, 2), node("m", 0, 2))
    one = candidate("u", plan(pods=1), priority=5)
    assert brief(view([one], [dear, whole, cheap], nodes))[0] == ("Preempt", "cheap-1")
    two = candidate("u", plan(pods=1, per_pod=2), priority=5)
    assert brief(view([two], [dear, whole, cheap], nodes))[0] == ("Preempt", "whole-1")
    light = [gang(f"light{index}-1", "m", lost_work_seconds=1.0) for index in (1, 2)]
    heavy = gang("heavy-1", "n", "n", lost_work_seconds=500.0)
    pair = brief(view([candidate("u", priority=5)], [heavy, *light], nodes))
    assert pair == [("Preempt", "light1-1"), ("Preempt", "light2-1"), ("Wait", "u")]


def test_a_second_plan_may_be_worth_a_preemption_where_the_first_is_not() -> None:
    job = candidate("u", plan(pods=2), plan(pods=1), priority=5)
    asked = view([job], [gang("b-1", "n", priority=5), gang("c-1", "n")], pool(node("n", 0, 2)))
    assert brief(asked)[0] == ("Preempt", "c-1")
    both = view([job], [gang("b-1", "n", restart_seconds=5000.0), gang("c-1", "n")], pool(node("n", 0, 2)))
    assert brief(both) == [("Preempt", "c-1"), ("Wait", "u")]


def test_one_victim_serves_one_job() -> None:
    jobs = [candidate("u", plan(pods=1), priority=5), candidate("w", plan(pods=1), priority=5)]
    asked = view(jobs, [gang("b-1", "n")], pool(node("n", 0, 1)))
    assert brief(asked) == [("Preempt", "b-1"), ("Wait", "u"), ("Wait", "w")]


def test_with_many_gangs_those_not_needed_are_spared() -> None:
    small = [gang(f"s{index}-1", "n", lost_work_seconds=float(index)) for index in range(12)]
    big = gang("big-1", "m", "m", lost_work_seconds=11.5)
    job = candidate("u", plan(pods=1, per_pod=2), priority=5)
    nodes = pool(*(node(name, 0, 2) for name in ("m",)), *(node(f"n{index}", 0, 1) for index in range(12)))
    spread = [replace(one, nodes=(f"n{index}",)) for index, one in enumerate(small)]
    assert [pair for pair in brief(view([job], [*spread, big], nodes)) if pair[0] == "Preempt"] == [("Preempt", "big-1")]


def test_a_short_job_may_fill_the_gap_and_a_long_one_may_not() -> None:
    big = candidate("big", plan(pods=2), priority=1)
    short, long = candidate("short", plan(pods=1), value_seconds=50), candidate("long", plan(pods=1), value_seconds=5000)
    running = [gang("r-1", "n", priority=9, remaining_seconds=100.0)]
    assert brief(view([big, short], running, pool(node("n", 1, 2)))) == [("Wait", "big"), ("Start", "short")]
    asked = view([big, long], running, pool(node("n", 1, 2)))
    assert brief(asked) == [("Wait", "big"), ("Wait", "long")]
    assert "1 pod of 1 on cpu would fit now, but would delay big, which comes first" in decide(asked)[1].reason


def test_a_long_job_may_use_what_the_waiting_one_does_not_need() -> None:
    big, long = candidate("big", plan(pods=2), priority=1), candidate("long", plan(pods=1), value_seconds=5000)
    running = [gang("r-1", "n", "n", priority=9, remaining_seconds=100.0)]
    assert brief(view([big, long], running, pool(node("n", 1, 3)))) == [("Wait", "big"), ("Start", "long")]


def test_a_preemption_that_would_delay_a_job_before_it_is_none() -> None:
    first = candidate("first", plan(pods=2), priority=6, value_seconds=1000.0)
    second = candidate("second", plan(pods=1), priority=5, value_seconds=5000.0)
    running = [
        gang("top-1", "n", priority=9, remaining_seconds=100.0),
        gang("low-1", "n", remaining_seconds=100.0, preemptible=True),
    ]
    asked = view([first, second], [running[0], replace(running[1], priority=1, remaining_seconds=90.0)], pool(node("n", 0, 2)))
    assert brief(asked) == [("Wait", "first"), ("Wait", "second")]


def test_pods_that_are_not_bound_yet_have_their_seats() -> None:
    starting = replace(gang("s-1", "n"), allocation=plan(pods=2).allocation)
    assert brief(view([candidate("a", plan(pods=1))], [starting], pool(node("n", 1, 2)))) == [("Wait", "a")]
    nowhere = replace(gang("s-1"), allocation=plan(pods=2).allocation)
    assert brief(view([candidate("a", plan(pods=1))], [nowhere], pool(node("n", 1, 1)))) == [("Wait", "a")]


def test_a_gang_that_is_not_bound_is_no_victim() -> None:
    starting = replace(gang("s-1"), allocation=plan(pods=2).allocation)
    assert brief(view([candidate("u", priority=5)], [starting], pool(node("n", 2)))) == [("Wait", "u")]


def test_what_can_never_fit_says_so_and_keeps_nothing() -> None:
    giant = candidate("giant", plan(pods=9), priority=1)
    asked = view([giant, candidate("a")], [], pool(node("n", 2)))
    assert brief(asked) == [("Wait", "giant"), ("Start", "a")]
    assert decide(asked)[0].reason == "9 pods of 1 on cpu never fit: its ready nodes have 2 accelerators in all"
    lost = decide(view([candidate("a", plan(pool="gone"))], [], pool(node("n", 2))))
    assert lost[0].reason == "2 pods of 1 on gone never fit: its ready nodes have 0 accelerators in all"


def test_room_that_nobody_is_known_to_make() -> None:
    (verdict,) = decide(view([candidate()], [], pool(node("n", 1, 2))))
    assert verdict.reason == "2 pods of 1 on cpu do not fit: 1 accelerators are free; no running gang is known to make room"


def test_a_job_without_plans_waits() -> None:
    (verdict,) = decide(view([replace(candidate(), plans=())], [], pool(node("n", 2))))
    assert verdict == Wait("team/a", "no plan fits its budget and its pools", verdict.numbers)


def test_pools_do_not_mix() -> None:
    job = candidate("a", plan(pods=2, pool="gpu"))
    asked = view([job], [gang("b-1", "n", "n")], pool(node("n", 0, 2)), pool(node("g", 2), name="gpu"))
    assert brief(asked) == [("Start", "a")]
    held_up = view([candidate("a", plan(pods=2), priority=1), job], [gang("b-1", "n", "n", priority=3)], *asked.pools)
    assert brief(held_up)[1] == ("Start", "a")
