"""Every CEL rule that looks at one object: a change that keeps it and one that breaks it, on a real API server."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.admission import created
from tests.support.manifests import ACCOUNT, JOB, POOL, RECORD, Manifest, changed

from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller


@dataclass(frozen=True)
class Case:
    """A rule, known by the start of its message, with one change that keeps it and one that breaks it."""

    message: str
    base: Manifest
    passes: Manifest
    fails: Manifest

    def __str__(self) -> str:
        return self.message[:50]


def volumes(*entries: Manifest) -> Manifest:
    return {"spec.template.volumes": list(entries)}


CASES = [
    Case("limits needs at least one", JOB, {"spec.budget.limits": {"flops": "1.9e12"}}, {"spec.budget.limits": {}}),
    Case(
        "model needs exactly one",
        JOB,
        {"spec.model": {"config": {"model_type": "llama", "hidden_size": 64}}},
        {"spec.model": {"preset": "llama-1m", "pretrained": {"uri": "file:///m"}}},
    ),
    Case(
        "validation needs exactly one",
        JOB,
        {"spec.data.validation": {"uri": "file:///v"}},
        {"spec.data.validation": {"uri": "file:///v", "fraction": "0.1"}},
    ),
    Case(
        "validation.fraction must be between",
        JOB,
        {"spec.data.validation": {"fraction": "0.999999"}},
        {"spec.data.validation": {"fraction": "1.0"}},
    ),
    Case("tokenizer needs exactly one", JOB, {"spec.data.tokenizer": {"vocabularySize": 1024}}, {"spec.data.tokenizer": {}}),
    Case("a cost limit needs budget.currency", JOB, {"spec.budget.currency": "EUR"}, {"spec.budget.currency": None}),
    Case("a cost limit needs spec.currency", ACCOUNT, {"spec.currency": "EUR"}, {"spec.currency": None}),
    Case(
        "accelerators.min must not be above",
        JOB,
        {"spec.compute.accelerators": {"min": 8}},
        {"spec.compute.accelerators": {"min": 9}},
    ),
    Case(
        "checkpoint.storage needs exactly one",
        JOB,
        {"spec.checkpoint.storage": {"uri": "s3://bucket/run"}},
        {"spec.checkpoint.storage": {"uri": "s3://bucket/run", "persistentVolumeClaim": {"claimName": "c"}}},
    ),
    Case("metadata.name must be at most 40", JOB, {"metadata.name": "a" * 40}, {"metadata.name": "a" * 41}),
    Case(
        "a duration must be at least 1s",
        JOB,
        {"spec.checkpoint.interval": "0d1s", "spec.compute": {"startupTimeout": "1h30m"}},
        {"spec.checkpoint.interval": "500ms"},
    ),
    Case("model.lora.dropout must be", JOB, {"spec.model.lora": {"dropout": "0.05"}}, {"spec.model.lora": {"dropout": "1"}}),
    Case(
        "training.learningRate must be",
        JOB,
        {"spec.training": {"learningRate": "0.000001"}},
        {"spec.training": {"learningRate": "0.0"}},
    ),
    Case(
        "training.maxGradientNorm must be",
        JOB,
        {"spec.training": {"maxGradientNorm": "100"}},
        {"spec.training": {"maxGradientNorm": "0"}},
    ),
    Case(
        "training.landingFraction must be",
        JOB,
        {"spec.training": {"landingFraction": "0.9"}},
        {"spec.training": {"landingFraction": "0"}},
    ),
    *(
        Case(
            f"template.resources.{part}.memory must be",
            JOB,
            {f"spec.template.resources.{part}": {"memory": "6.5Gi", "cpu": "2"}},
            {f"spec.template.resources.{part}": {"memory": "6Pi"}},
        )
        for part in ("requests", "limits")
    ),
    Case(
        "rate.flopsPerSecond must be",
        POOL,
        {"metadata.name": "rated", "spec.rate": {"flopsPerSecond": "1.5e25"}},
        {"spec.rate": {"flopsPerSecond": "0e3"}},
    ),
    Case(
        "rate.memoryBytesPerSecond must be",
        POOL,
        {"metadata.name": "rated", "spec.rate": {"flopsPerSecond": "1", "memoryBytesPerSecond": "1e9"}},
        {"spec.rate": {"flopsPerSecond": "1", "memoryBytesPerSecond": "0.0"}},
    ),
    Case(
        "window.start must lie before",
        ACCOUNT,
        {"spec.window": {"period": "7d", "start": "2199-12-31T23:59:59Z"}},
        {"spec.window": {"period": "7d", "start": "2200-01-01T00:00:00Z"}},
    ),
    Case("metadata.name must be spec.attempt", RECORD, {}, {"spec.attempt": "tiny-0a1b2-2"}),
    Case(
        "networkBytesPerSecond must be",
        POOL,
        {"metadata.name": "linked", "spec.networkBytesPerSecond": "5e10"},
        {"spec.networkBytesPerSecond": "0.0"},
    ),
    Case("minNodes must not be above", POOL, {"metadata.name": "few", "spec.minNodes": 1}, {"spec.minNodes": 2}),
    Case(
        "template.metadata.labels below farthing.dev/",
        JOB,
        {"spec.template.metadata.labels": {"example.org/team": "a"}},
        {"spec.template.metadata.labels": {"farthing.dev/attempt": "mine"}},
    ),
    Case(
        "template.metadata.annotations below farthing.dev/",
        JOB,
        {"spec.template.metadata.annotations": {"example.org/farthing.dev": "x"}},
        {"spec.template.metadata.annotations": {"farthing.dev/x": "y"}},
    ),
    Case(
        "template.env: names that start with FARTHING_",
        JOB,
        {"spec.template.env": [{"name": "RANKING", "value": "1"}]},
        {"spec.template.env": [{"name": "FARTHING_RUN_CONFIG", "value": "/tmp/mine"}]},
    ),
    Case(
        "template.env: a variable has either",
        JOB,
        {"spec.template.env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        {"spec.template.env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
    ),
    Case(
        "template.volumeMounts: /tmp, and paths",
        JOB,
        {"spec.template.volumeMounts": [{"name": "d", "mountPath": "/checkpoints-of-mine"}]},
        {"spec.template.volumeMounts": [{"name": "d", "mountPath": "/etc/farthing/run"}]},
    ),
    Case(
        "template.volumeMounts: write mountPath without",
        JOB,
        {"spec.template.volumeMounts": [{"name": "d", "mountPath": "/data/..hidden"}]},
        {"spec.template.volumeMounts": [{"name": "d", "mountPath": "/data/../etc/farthing"}]},
    ),
    Case(
        "template.volumes: a volume is exactly one",
        JOB,
        volumes({"name": "d", "emptyDir": {}}),
        volumes({"name": "d", "emptyDir": {}, "secret": {"secretName": "s"}}),
    ),
    Case(
        "template.volumes: names that start with farthing-",
        JOB,
        volumes({"name": "data", "emptyDir": {}}),
        volumes({"name": "farthing-run", "emptyDir": {}}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_passes_and_fails(server: LocalCluster, case: Case) -> None:
    assert "created" in created(server, changed(case.base, case.passes))
    assert case.message in created(server, changed(case.base, case.fails))


@pytest.mark.parametrize("variable", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "JOB_COMPLETION_INDEX"])
def test_rendezvous_variables_are_farthings(server: LocalCluster, variable: str) -> None:
    manifest = changed(JOB, {"spec.template.env": [{"name": variable, "value": "0"}]})
    assert "are set by Farthing" in created(server, manifest)


@pytest.mark.parametrize("path", ["/dev/shm", "/checkpoints/", "/etc/farthing", "/tmp"])
def test_own_mounts_are_farthings(server: LocalCluster, path: str) -> None:
    manifest = changed(JOB, {"spec.template.volumeMounts": [{"name": "d", "mountPath": path}]})
    assert "are Farthing's own" in created(server, manifest)


@pytest.mark.parametrize(
    ("path", "value"),
    [("spec.budget.limits.cost", 5.0), ("spec.budget.limits.cost", "-1"), ("spec.template.hostPID", True), ("spec.modle", {})],
)
def test_bad_types_and_unknown_fields_are_refused(server: LocalCluster, path: str, value: Any) -> None:
    assert "created" not in created(server, changed(JOB, {path: value}))
