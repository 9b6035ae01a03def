import pytest
from prometheus_client.parser import text_string_to_metric_families

from farthing.contract.metrics import LABELS, PREFIX, TRAINER_METRICS
from farthing.contract.runconfig import JobIdentity
from farthing_trainer.metrics import Metrics

VALUES = {"job": "lm", "namespace": "team", "attempt": "lm-abcde-1", "rank": "0"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(JobIdentity(namespace="team", name="lm", uid="u", attempt="lm-abcde-1", attempt_number=1), 0)


def samples(metrics: Metrics) -> dict[str, tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(metrics.expose().decode())
    return {sample.name: (sample.labels, sample.value) for family in families for sample in family.samples}


def test_every_family_of_the_contract_is_there_under_its_name(metrics: Metrics):
    text = metrics.expose().decode()
    for metric in TRAINER_METRICS:
        assert f"# TYPE {PREFIX}{metric.name} {metric.kind}\n" in text
        assert f"# HELP {PREFIX}{metric.name} {metric.help}\n" in text


def test_values_carry_the_four_labels_and_no_others(metrics: Metrics):
    metrics.add("tokens_total", 128)
    metrics.add("tokens_total", 128)
    metrics.set("loss", 3.5)
    metrics.observe("step_duration_seconds", 0.2)
    seen = samples(metrics)
    assert seen["farthing_trainer_tokens_total"] == (VALUES, 256.0)
    assert seen["farthing_trainer_loss"] == (VALUES, 3.5)
    assert seen["farthing_trainer_step_duration_seconds_count"] == (VALUES, 1.0)
    assert tuple(VALUES) == LABELS


def test_what_is_unknown_is_absent_not_zero(metrics: Metrics):
    metrics.set("mfu_ratio", None)
    assert "farthing_trainer_mfu_ratio" not in samples(metrics)
