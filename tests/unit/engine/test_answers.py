"""What rank 0's answer makes of a request, and what a leader that died left for the next one to write down."""

from datetime import timedelta

import pytest
from tests.support.lives import Life, a_cluster, a_job

from farthing.api.conditions import ConditionType, Reason, is_true
from farthing.api.job_status import RequestStatus
from farthing.contract.handshake import CheckpointAnswer
from farthing.domain.outcome import Outcome
from farthing.engine.act import answered
from farthing.settings import Settings
from farthing.simulator.faults import Crash, OperatorDied
from farthing.simulator.trainer import Behaviour

ASKED = RequestStatus(
    id="a",
    attempt="tiny-1",
    reason="Suspended",
    then="Stop",
    requested_at="2026-11-24T12:00:00Z",
    deadline="2026-11-24T12:01:00Z",
)


def answer(state: str, name: str = "a") -> CheckpointAnswer:
    return CheckpointAnswer.model_validate({"id": name, "state": state, "then": "Stop", "step": 7, "digest": "sha256:7"})


def test_an_answer_to_another_request_tells_nothing() -> None:
    assert answered(ASKED, answer("Acknowledged", "b"), Settings()) is ASKED


def test_a_request_that_is_being_worked_on_stays_as_it_is() -> None:
    assert answered(ASKED, answer("Accepted"), Settings()) is ASKED


def test_an_acknowledgement_is_kept_with_its_step() -> None:
    kept = answered(ASKED, answer("Acknowledged"), Settings())
    assert (kept.acknowledged_step, kept.digest) == (7, "sha256:7")


def test_a_save_that_failed_is_not_asked_for_again() -> None:
    assert answered(ASKED, answer("Failed"), Settings()).failures == Settings().handshake.failed_posts


async def test_a_trainer_that_does_not_answer_is_asked_twice_and_then_ended() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    await life.run(40)
    ((_, gang),) = life.cluster.gangs.items()
    gang.behaviour = Behaviour(answers=False)
    life.cluster.change_spec("default/tiny", suspend=True)
    assert await life.run(120, until=lambda: life.state() == "Suspended")
    told = [entry.message for entry in life.job().status.decisions if entry.reason == Reason.CHECKPOINT_FAILED]
    assert len(told) == Settings().handshake.failed_posts
    assert (life.outcomes()[-1], life.records()[-1].status.lost_steps) == (Outcome.LEASE_ENDED, 0), "SIGTERM saves as well"


@pytest.mark.parametrize("write", ["settle", "POST SpendRecord"])
async def test_what_a_dead_leader_did_is_written_down_by_the_next_one(write: str) -> None:
    """Started or settled, and dead before the status said so: the decision log has it all the same, once."""
    calm, life = Life(a_cluster()), Life(a_cluster())
    for each in (calm, life):
        each.cluster.create_job(a_job())
    await calm.run(100)
    at = next(index for index, what in enumerate(calm.world.writes.log, start=1) if what.startswith(write))
    life.world.writes.crash = Crash(at, "after")
    with pytest.raises(OperatorDied, match=write):
        await life.run(100)
    life.restart()
    await life.run(100)
    log = [entry.action for entry in life.job().status.decisions]
    assert log.count("Start") == len(life.records())
    assert log.count("Settle") == sum(record.status.phase == "Settled" for record in life.records())


async def test_a_pool_that_is_gone_when_a_start_was_cut_off_is_waited_for() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    await life.cycle()
    key = next(iter(life.cluster.records))
    life.cluster.delete_gang(key)
    pool = life.cluster.pools.pop("slots")
    report = await life.cycle()
    assert "is gone since" in report.troubles["default/tiny"]
    life.cluster.pools["slots"] = pool
    assert await life.run(900, until=lambda: life.state() == "Complete")


async def test_a_finished_job_is_deleted_when_its_time_is_over() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job(ttlSecondsAfterFinished=60))
    assert await life.run(900, until=lambda: life.state() == "Complete")
    assert is_true(life.job().status.conditions, ConditionType.COMPLETE)
    done = life.cluster.clock.now()
    await life.run(50)
    assert "default/tiny" in life.cluster.jobs
    assert await life.run(60, until=lambda: "default/tiny" not in life.cluster.jobs)
    assert life.cluster.clock.now() - done >= timedelta(seconds=60)
    assert all(record.status.phase == "Settled" for record in life.records()), "the bills stay"
