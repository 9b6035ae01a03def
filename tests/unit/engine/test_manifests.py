"""The objects of an attempt: two golden files, and the rules that a reader should find by name.

After a change that is meant: `FARTHING_GOLDEN=write pytest tests/unit/engine/test_manifests.py`, then read the difference.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.lives import START, Life, a_cluster, a_job
from tests.support.starts import start

from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT
from farthing.domain.decision import OpenAttempt
from farthing.engine.manifests import ManifestContext, Manifests, attempt_manifests
from farthing.engine.opening import annotations, reopened
from farthing.settings import Settings
from farthing.units import format_time

DATA = Path(__file__).parents[2] / "data"
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"team": "a", "farthing.dev/attempt": "forged"}, "annotations": {"note": "mine"}},
    "image": "registry.example/trainer:1",
    "imagePullSecrets": [{"name": "pull"}],
    "serviceAccountName": "trainer",
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"key": "slow", "operator": "Exists"}],
    "env": [{"name": "HF_HOME", "value": "/tmp/hf"}, {"name": "FARTHING_RUN_CONFIG", "value": "/tmp/forged"}],
    "envFrom": [{"secretRef": {"name": "credentials"}}],
    "resources": {"requests": {"cpu": "1", "memory": "3Gi"}},
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
}


class Started:
    """A life, stopped at each start."""

    def __init__(self, *, native_gangs: bool = True, **spec: Any) -> None:
        self.life = Life(a_cluster(), native_gangs=native_gangs)
        self.life.cluster.create_job(a_job(**spec))
        self.native_gangs = native_gangs

    async def attempt(self, number: int) -> tuple[OpenAttempt, Manifests]:
        """The start of that number and its objects."""
        assert await self.life.run(120, until=lambda: len(self.life.records()) == number)
        record = self.life.records()[number - 1]
        action = reopened(record, "default/tiny")
        assert action is not None
        context = ManifestContext(
            job=self.life.job(),
            pool=self.life.cluster.pools["slots"],
            settings=Settings(),
            native_gangs=self.native_gangs,
            opened_at=record.spec.opened_at,
        )
        return action, attempt_manifests(action, context)


def check_golden(name: str, action: OpenAttempt, **spec: Any) -> None:
    """Compare the objects of a start with a plan written by hand, run config and annotations left out."""
    cluster = a_cluster()
    context = ManifestContext(
        job=cluster.create_job(a_job(template=TEMPLATE, **spec)),
        pool=cluster.pools["slots"],
        settings=Settings(),
        native_gangs=True,
        opened_at=format_time(START),
    )
    built = attempt_manifests(action, context)
    record = {**built.record, "metadata": {k: v for k, v in built.record["metadata"].items() if k != "annotations"}}
    config_map, *others = built.children
    objects = [record, built.secret, {**config_map, "data": sorted(config_map["data"])}, *others, built.job]
    text = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True)
    golden = DATA / name
    if os.environ.get("FARTHING_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert list(yaml.safe_load_all(golden.read_text(encoding="utf-8"))) == list(yaml.safe_load_all(text))


def a_start(pods: int) -> OpenAttempt:
    """Attempt 1 of the tiny job."""
    cluster = a_cluster()
    return start(cluster.create_job(a_job()), cluster.pools["slots"], 1, START, pods)


def test_the_prepare_attempt_is_the_golden_one() -> None:
    check_golden("attempt-prepare.yaml", replace(a_start(1), stage="Prepare"))


def test_the_train_attempt_is_the_golden_one() -> None:
    check_golden("attempt-train.yaml", a_start(2))


async def test_the_record_alone_rebuilds_the_same_start() -> None:
    started = Started()
    action, built = await started.attempt(2)
    record = started.life.records()[1]
    assert built.record["spec"] == record.spec.to_dict()
    assert annotations(action, 1, started.life.job().spec.budget) == record.metadata.annotations


async def test_the_ledgers_finalizer_stands_on_pods_only() -> None:
    _, built = await Started().attempt(1)
    assert built.job["spec"]["template"]["metadata"]["finalizers"] == [FINALIZER_LEDGER]
    assert "finalizers" not in built.job["metadata"]


async def test_children_are_the_jobs_and_the_record_is_nobodys() -> None:
    _, built = await Started().attempt(1)
    for child in (built.secret, built.job, *built.children):
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["controller"]) == ("BudgetedTrainingJob", True)
    assert "ownerReferences" not in built.record["metadata"]


@pytest.mark.parametrize("native_gangs", [True, False])
async def test_gangs_are_native_or_the_job_is_created_suspended(native_gangs: bool) -> None:
    _, built = await Started(native_gangs=native_gangs).attempt(1)
    kinds = {child["kind"] for child in built.children}
    assert built.job["spec"]["suspend"] is not native_gangs
    assert ("PodGroup" in kinds) is native_gangs
    assert ("schedulingGroup" in built.job["spec"]["template"]["spec"]) is native_gangs


async def test_a_tenant_can_forge_neither_labels_nor_the_run_config() -> None:
    action, built = await Started(template=TEMPLATE).attempt(1)
    template = built.job["spec"]["template"]
    assert template["metadata"]["labels"][LABEL_ATTEMPT] == action.attempt
    assert template["metadata"]["labels"]["team"] == "a"
    env = [each for each in template["spec"]["containers"][0]["env"] if each["name"] == "FARTHING_RUN_CONFIG"]
    assert env == [{"name": "FARTHING_RUN_CONFIG", "value": "/etc/farthing/run/run.json"}]


async def test_a_tenants_memory_is_a_minimum() -> None:
    _, built = await Started(template=TEMPLATE).attempt(1)
    resources = built.job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "3072Mi"
    assert resources["requests"]["cpu"] == "1"


async def test_the_ends_nest_in_pod_and_job() -> None:
    action, built = await Started().attempt(2)
    ends, lease = action.lease.ends, action.run_config.lease
    pod = built.job["spec"]["template"]["spec"]
    assert pod["activeDeadlineSeconds"] == ends.pod
    assert pod["terminationGracePeriodSeconds"] == ends.grace
    assert built.job["spec"]["activeDeadlineSeconds"] == ends.startup_timeout + ends.job
    assert lease.trainer_end.seconds == ends.trainer < (lease.supervisor_end.seconds or 0) == ends.supervisor < ends.pod
    assert ends.pod <= ends.job < ends.hard


async def test_the_run_config_lands_on_money_and_counts_from_the_opening() -> None:
    started = Started()
    action, _ = await started.attempt(2)
    config, record = action.run_config, started.life.records()[1]
    assert config.lease.budget_end.not_after == config.lease.trainer_end.not_after
    assert record.spec.opened_at > format_time(START)
    assert config.batch.global_batch == config.world_size * config.batch.micro_batch * config.batch.accumulation
    assert config.checkpoint.uri.startswith("file:///checkpoints/tiny-")
    assert config.data.prepared_uri == "file:///checkpoints/prepared"
    assert config.output_uri == f"{config.checkpoint.uri}/output"


async def test_a_token_budget_leaves_the_clock_out_of_its_landing() -> None:
    action, _ = await Started(budget={"limits": {"tokens": "150000"}}).attempt(2)
    end = action.run_config.lease.budget_end
    assert (end.tokens, end.seconds, end.not_after, end.flops) == (150_000, None, None, None)
    assert action.run_config.lease.trainer_end.seconds is not None
