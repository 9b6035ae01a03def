"""The metrics of a plan's errors live: they follow the trainers' reports cycle by cycle, and go with their job."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.lives import Life, a_cluster, a_job

from farthing.simulator.trainer import Behaviour
from farthing.telemetry.metrics import OperatorMetrics

NAMES = {"farthing_plan_memory_error_ratio": "memory", "farthing_plan_throughput_error_ratio": "tokensPerSecond"}


def errors(metrics: OperatorMetrics) -> dict[str, float]:
    """By metric, of the only job."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {sample.name: sample.value for family in families for sample in family.samples if sample.name in NAMES}


@pytest.fixture
def watched() -> tuple[Life, OperatorMetrics]:
    """A life whose operator has real metrics."""
    life, metrics = Life(a_cluster()), OperatorMetrics()
    life.world.job = metrics.job
    life.cluster.create_job(a_job())
    return life, metrics


async def test_they_are_there_as_soon_as_a_trainer_reports_and_agree_with_the_status(watched) -> None:
    life, metrics = watched
    assert await life.run(120, until=lambda: life.state() == "Running")
    assert await life.run(60, until=lambda: errors(metrics).keys() == NAMES.keys())
    await life.run(20)
    plan = life.job().status.plan
    assert plan is not None
    for metric, name in NAMES.items():
        shown = plan.predictions[name]
        assert errors(metrics)[metric] == pytest.approx(float(shown.value) / float(shown.measured or "nan") - 1, abs=1e-3)


async def test_they_follow_a_trainer_that_slows_down(watched) -> None:
    life, metrics = watched
    await life.run(60, until=lambda: errors(metrics).keys() == NAMES.keys())
    await life.run(20)
    before = errors(metrics)["farthing_plan_throughput_error_ratio"]
    for gang in life.cluster.gangs.values():
        assert gang.trainer is not None
        gang.trainer.behaviour = Behaviour(tokens_per_second=gang.trainer.behaviour.tokens_per_second / 2)
    await life.run(30)
    after = errors(metrics)["farthing_plan_throughput_error_ratio"]
    assert (1 + after) / (1 + before) == pytest.approx(2.0, rel=0.02)


async def test_they_go_with_the_plan_that_was_measured(watched) -> None:
    life, metrics = watched
    await life.run(60, until=lambda: errors(metrics).keys() == NAMES.keys())
    metrics.forget("default", "tiny")
    assert errors(metrics) == {}
