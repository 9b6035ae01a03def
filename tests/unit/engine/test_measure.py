"""What settled bills teach the planner: whose they are, what the formulas alone said of them, and which of them count."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.lives import Life, a_cluster, a_job

from farthing.api import SpendRecord
from farthing.catalog import preset
from farthing.domain.planning import Measurement
from farthing.domain.snapshot import Attempt, Snapshot
from farthing.engine.measure import NEWEST, Measurements, measurements
from farthing.engine.opening import ANNOTATION_PLAN, ANNOTATION_RUN_CONFIG, plan_of, run_config_of, taught
from farthing.planner.learning import KEPT
from farthing.simulator.trainer import Behaviour
from farthing.units import parse_time

SLOW = Behaviour(tokens_per_second=1500.0)
PRETRAINED = {"uri": "s3://models/llama-1m", "config": preset("llama-1m")}


async def stopped(**spec: Any) -> Life:
    """A job that trained for a while and was suspended."""
    life = Life(a_cluster())
    life.cluster.behaviours["default/tiny"] = SLOW
    life.cluster.create_job(a_job(**spec))
    await life.run(90)
    life.cluster.change_spec("default/tiny", suspend=True)
    assert await life.run(60, until=lambda: life.state() == "Suspended")
    return life


async def resumed() -> Life:
    """The same, whose second train attempt runs."""
    life = await stopped()
    life.cluster.change_spec("default/tiny", suspend=False)
    assert await life.run(60, until=lambda: life.state() == "Running")
    return life


def trained(life: Life) -> list[SpendRecord]:
    return [record for record in life.records() if record.spec.stage == "Train"]


async def seen(life: Life) -> Snapshot:
    return await life.world.observe()


def changed(snapshot: Snapshot, record: SpendRecord) -> Snapshot:
    """The snapshot with this record in place of the newest one."""
    (view,) = snapshot.jobs
    attempts = (*view.attempts[:-1], replace(view.attempts[-1], record=record))
    return replace(snapshot, jobs=(replace(view, attempts=attempts),))


def with_status(record: SpendRecord, **status: Any) -> SpendRecord:
    return record.model_copy(update={"status": record.status.model_copy(update=status)})


def only(found: Measurements) -> Measurement:
    (one,) = found.newest
    return one


async def test_a_settled_attempt_is_measured_beside_what_the_formulas_said() -> None:
    life = await stopped()
    (record,) = trained(life)
    plan, one = plan_of(record), only(measurements(await seen(life)))
    assert plan is not None
    assert (one.origin, one.measured_at, one.family) == ("default/tiny attempt 2", record.status.settled_at, "llama")
    assert one.tokens_per_second == float(record.status.tokens_per_second or "0") > 0
    assert one.predicted_tokens_per_second == pytest.approx(plan.tokens_per_second.value)
    assert one.predicted_memory_bytes == pytest.approx(plan.memory.expected_bytes)
    assert one.flops_per_token == plan.flops_per_token


async def test_the_next_attempt_is_planned_with_what_was_measured_and_says_so() -> None:
    life = await resumed()
    first, second = (plan_of(record) for record in trained(life))
    assert first is not None
    assert second is not None
    measured = float(trained(life)[0].status.tokens_per_second or "0")
    assert second.tokens_per_second.value == pytest.approx(measured)
    ratio = measured / first.tokens_per_second.value
    words = f"throughput × {ratio:.2f} ± 7% (1 measured with this plan; ± 35% before) from default/tiny attempt 2"
    assert taught(second).startswith(words)
    assert "memory" in taught(second)
    assert taught(first) == ""
    started = [
        entry.message for entry in life.job().status.decisions if entry.action == "Start" and "Train" not in entry.message
    ]
    assert started[-1].endswith(f"; {taught(second)}")
    assert all("throughput" not in message for message in started[:-1])


async def test_a_corrected_number_is_never_learnt_against() -> None:
    life = await resumed()
    await life.run(60)
    life.cluster.change_spec("default/tiny", suspend=True)
    assert await life.run(60, until=lambda: life.state() == "Suspended")
    first, second = measurements(await seen(life)).newest
    corrected = plan_of(trained(life)[1])
    assert corrected is not None
    assert first.origin < second.origin
    assert second.predicted_tokens_per_second == first.predicted_tokens_per_second
    assert second.predicted_tokens_per_second != pytest.approx(corrected.tokens_per_second.value)
    assert second.predicted_memory_bytes == first.predicted_memory_bytes


async def test_the_status_shows_predicted_and_measured_side_by_side() -> None:
    life = await resumed()
    await life.run(30)
    plan = life.job().status.plan
    assert plan is not None
    for name in ("memory", "tokensPerSecond"):
        shown = plan.predictions[name]
        assert float(shown.measured or "0") > 0
        assert float(shown.value) > 0
    assert "from default/tiny attempt 2" in plan.predictions["tokensPerSecond"].source


async def test_an_attempt_that_runs_and_one_that_only_prepared_are_not_counted() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    assert measurements(await seen(life)) == Measurements({life.job().metadata.uid: ()}, ())


async def test_the_bill_of_a_deleted_job_still_counts() -> None:
    snapshot = await seen(await stopped())
    (view,) = snapshot.jobs
    gone = replace(snapshot, jobs=(), orphans=view.attempts)
    assert only(measurements(gone)) == only(measurements(snapshot))


async def test_without_its_pool_there_is_a_measurement_and_no_prediction() -> None:
    one = only(measurements(replace(await seen(await stopped()), pools=())))
    assert (one.family, one.predicted_tokens_per_second, one.predicted_memory_bytes) == ("", None, None)
    assert one.tokens_per_second is not None


async def test_a_bill_without_its_run_config_has_no_prediction() -> None:
    life = await stopped()
    record = trained(life)[-1]
    kept = {ANNOTATION_PLAN: record.metadata.annotations[ANNOTATION_PLAN]}
    bare = record.model_copy(update={"metadata": record.metadata.model_copy(update={"annotations": kept})})
    assert only(measurements(changed(await seen(life), bare))).predicted_tokens_per_second is None


async def test_a_bill_without_its_plan_teaches_nothing() -> None:
    life = await stopped()
    record = trained(life)[-1]
    bare = record.model_copy(update={"metadata": record.metadata.model_copy(update={"annotations": {}})})
    assert measurements(changed(await seen(life), bare)).newest == ()


async def test_a_model_that_this_release_does_not_know_has_no_prediction() -> None:
    life = await stopped()
    record = trained(life)[-1]
    config = run_config_of(record)
    assert config is not None
    strange = config.model_copy(update={"model": config.model.model_copy(update={"config": {"model_type": "new"}})})
    noted = {**record.metadata.annotations, ANNOTATION_RUN_CONFIG: strange.to_json()}
    other = record.model_copy(update={"metadata": record.metadata.model_copy(update={"annotations": noted})})
    one = only(measurements(changed(await seen(life), other)))
    assert (one.family, one.predicted_tokens_per_second) == ("", None)


async def test_a_plan_that_is_no_candidate_any_more_has_a_family_and_no_prediction() -> None:
    life = await stopped()
    record = trained(life)[-1]
    plan = json.loads(record.metadata.annotations[ANNOTATION_PLAN])
    plan["strategy"]["micro_batch"] = 3
    noted = {**record.metadata.annotations, ANNOTATION_PLAN: json.dumps(plan)}
    other = record.model_copy(update={"metadata": record.metadata.model_copy(update={"annotations": noted})})
    one = only(measurements(changed(await seen(life), other)))
    assert (one.family, one.predicted_tokens_per_second) == ("llama", None)


async def test_weights_that_were_given_are_predicted_from_the_config_in_the_spec() -> None:
    life = await stopped(model={"pretrained": PRETRAINED})
    snapshot = await seen(life)
    one = only(measurements(snapshot))
    assert one.family == "llama"
    assert one.predicted_tokens_per_second is not None
    (view,) = snapshot.jobs
    gone = replace(snapshot, jobs=(), orphans=view.attempts)
    assert only(measurements(gone)).predicted_tokens_per_second is None, "nobody knows the model any more"


@pytest.mark.parametrize(("seconds", "want"), [("0.5", 0.5), ("100000", None)])
async def test_a_save_that_took_longer_than_its_attempt_is_not_believed(seconds: str, want: float | None) -> None:
    life = await stopped()
    record = with_status(trained(life)[-1], checkpoint_seconds=seconds)
    assert only(measurements(changed(await seen(life), record))).checkpoint_seconds == want


async def test_a_save_of_an_attempt_without_times_is_not_believed() -> None:
    life = await stopped()
    record = with_status(trained(life)[-1], checkpoint_seconds="0.5", ended_at=None)
    assert only(measurements(changed(await seen(life), record))).checkpoint_seconds is None


@pytest.mark.parametrize("speed", ["0", "2000000000", "0.001"])
async def test_a_nonsense_bill_does_not_change_the_next_plan(speed: str) -> None:
    life = await stopped()
    (record,) = trained(life)
    key = f"default/{record.spec.attempt}"
    life.cluster.records[key] = with_status(record, tokens_per_second=speed, peak_memory=None)
    life.cluster.change_spec("default/tiny", suspend=False)
    assert await life.run(60, until=lambda: life.state() == "Running")
    first, second = (plan_of(each) for each in trained(life))
    assert first is not None
    assert second is not None
    assert second.tokens_per_second.value == first.tokens_per_second.value
    assert second.strategy == first.strategy


def many(count: int, owner: str) -> list[Measurement]:
    of = Measurement(pool="slots", accelerator="cpu-slot", strategy="s", accelerators=1)
    return [
        replace(of, origin=f"default/{owner} attempt {i}", measured_at=f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z")
        for i in range(count)
    ]


def test_a_job_is_told_its_own_newest_and_the_newest_of_all() -> None:
    own, others = many(KEPT + 2, "old"), many(NEWEST, "new")
    known = Measurements({"u-old": tuple(own), "u-new": tuple(others)}, tuple(others))
    told = known.for_job("u-old", "default")
    assert {each.origin for each in told} == {each.origin for each in (*own[-KEPT:], *others)}
    assert [each.measured_at for each in told] == sorted(each.measured_at for each in told)
    assert known.for_job("u-none", "default") == known.newest


async def test_only_the_newest_of_all_are_shared() -> None:
    life = await stopped()
    snapshot = await seen(life)
    (view,) = snapshot.jobs
    last = view.attempts[-1]
    copies = tuple(_copy(last, number) for number in range(1, NEWEST + 6))
    found = measurements(replace(snapshot, jobs=(replace(view, attempts=copies),)))
    assert len(found.newest) == NEWEST
    assert found.newest[-1].measured_at == copies[-1].record.status.settled_at
    assert len(found.by_job[view.job.metadata.uid]) == NEWEST + 5


def _copy(attempt: Attempt, number: int) -> Attempt:
    settled = f"2030-01-01T{number // 60:02}:{number % 60:02}:00Z"
    assert parse_time(settled)
    record = with_status(attempt.record, settled_at=settled)
    return replace(attempt, record=record.model_copy(update={"spec": record.spec.model_copy(update={"number": number})}))


async def test_a_job_that_is_deleted_has_taught_others_and_names_it_to_its_own_namespace_alone() -> None:
    life = await stopped()
    life.cluster.delete_job("default/tiny")
    await life.run(60)
    snapshot = await seen(life)
    assert not snapshot.jobs
    assert not snapshot.orphans
    known = measurements(snapshot)
    (one,) = known.newest
    assert one.origin.startswith("default/tiny attempt")
    assert known.for_job("u-other", "default") == (one,)
    (stranger,) = known.for_job("u-other", "team-b")
    assert stranger.tokens_per_second == one.tokens_per_second
    assert "tiny" not in stranger.origin
