"""The operator's metrics: names of the contract, stale series go, two registries do not meet."""

from prometheus_client.parser import text_string_to_metric_families
from tests.support.manifests import ACCOUNT, JOB, POOL, changed

from farthing.api import BudgetedTrainingJob, GPUNodePool, TrainingBudget
from farthing.telemetry.metrics import OperatorMetrics

CONTRACT = {
    "farthing_job_cost",
    "farthing_job_cost_limit",
    "farthing_job_spent_ratio",
    "farthing_job_state",
    "farthing_cycle_duration_seconds",
    "farthing_decisions",
    "farthing_plan_memory_error_ratio",
    "farthing_plan_throughput_error_ratio",
    "farthing_account_limit",
    "farthing_account_spent",
    "farthing_account_held",
    "farthing_pool_accelerators",
    "farthing_pool_nodes",
    "farthing_pool_price_per_accelerator_hour",
}


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}


def samples(metrics, name):
    return {tuple(sorted(sample.labels.items())): sample.value for sample in families(metrics)[name].samples}


def status(state, **more):
    estimate = {"value": "110", "measured": "100"}
    plan = {"predictions": {"memory": estimate, "tokensPerSecond": {"value": "50"}}}
    return {"state": state, "spent": {"cost": "1.25", "tokens": "2e3"}, "plan": plan, **more}


def test_every_name_of_the_contract_is_there():
    assert families(OperatorMetrics()).keys() >= CONTRACT


def test_a_job_shows_one_state_and_its_spend():
    metrics, job = OperatorMetrics(), BudgetedTrainingJob.model_validate(JOB)
    metrics.job(job, status("Queued"))
    metrics.job(job, status("Running"))
    assert [dict(labels)["state"] for labels in samples(metrics, "farthing_job_state")] == ["Running"]
    assert list(samples(metrics, "farthing_job_spent_ratio").values()) == [0.25]
    assert list(samples(metrics, "farthing_job_cost_limit").values()) == [5.0]
    assert list(samples(metrics, "farthing_plan_memory_error_ratio").values()) == [110 / 100 - 1]
    assert samples(metrics, "farthing_plan_throughput_error_ratio") == {}


def test_a_job_that_is_gone_leaves_no_series():
    metrics, job = OperatorMetrics(), BudgetedTrainingJob.model_validate(JOB)
    metrics.job(job, status("Running"))
    metrics.forget("default", "tiny")
    metrics.forget("default", "tiny")
    assert b'job="tiny"' not in metrics.render()


def test_accounts_and_pools():
    metrics = OperatorMetrics()
    hold = {"attempt": "a", "job": "tiny", "jobUid": "u", "amounts": {"cost": "2"}}
    account = TrainingBudget.model_validate(changed(ACCOUNT, {"status": {"holds": [hold, hold], "spent": {"cost": "3"}}}))
    metrics.accounts([account])
    assert list(samples(metrics, "farthing_account_held").values()) == [4.0]
    assert len(samples(metrics, "farthing_account_limit")) == 2
    metrics.pools(
        [GPUNodePool.model_validate(changed(POOL, {"status": {"accelerators": 8, "free": 3, "held": 5, "nodes": 2}}))]
    )
    assert sorted(samples(metrics, "farthing_pool_accelerators").values()) == [3.0, 5.0, 8.0]
    metrics.accounts([])
    metrics.pools([])
    assert samples(metrics, "farthing_account_held") == {}
    assert samples(metrics, "farthing_pool_nodes") == {}


def test_cycles_and_decisions():
    metrics = OperatorMetrics()
    metrics.cycle(0.02, {"observe": 0.01})
    metrics.decision("OpenAttempt", "Started")
    assert b'farthing_decisions_total{action="OpenAttempt",reason="Started"} 1.0' in metrics.render()
    assert b"farthing_cycle_duration_seconds_count 1.0" in metrics.render()
