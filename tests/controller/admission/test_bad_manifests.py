"""Bad manifests of all four kinds, sent as `kubectl create` sends them: each answer names the field and the way out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.admission import NAMESPACE
from tests.support.bench import path_of
from tests.support.manifests import ACCOUNT, JOB, POOL, RECORD, Manifest, changed

from farthing.errors import Refused
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

STRICT = "?dryRun=All&fieldValidation=Strict&fieldManager=kubectl"


@dataclass(frozen=True)
class Bad:
    """What is wrong, where the answer says so, and what it says to do."""

    base: Manifest
    field: str
    value: Any
    way_out: str
    named: str = ""
    """What the answer calls the field, where that is not its path."""

    @property
    def manifest(self) -> Manifest:
        return changed(self.base, {self.field: self.value})

    def __str__(self) -> str:
        return f"{self.base['kind']} {self.field} {str(self.value)[:40]}"


MONEY = "should match '^[0-9]{1,12}([.][0-9]{1,6})?$'".replace("[.]", r"\.")
TEXT = "must be of type string"
ONE_SECOND = "a duration must be at least 1s: write for example 10m"
SIXTEEN = [{"name": f"v{number}", "emptyDir": {}} for number in range(17)]
LIMITS = "spec.budget.limits"
TWO = {"uri": "s3://b/c", "persistentVolumeClaim": {"claimName": "c"}}
HOST = [{"name": "h", "hostPath": {"path": "/"}}]
BOTH = [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]

JOBS = [
    Bad(JOB, LIMITS, {}, "needs at least one of cost, acceleratorHours, flops, tokens, energy, for example cost"),
    Bad(JOB, f"{LIMITS}.cost", "-1", MONEY),
    Bad(JOB, f"{LIMITS}.cost", "5,00", MONEY),
    Bad(JOB, f"{LIMITS}.cost", "1e3", MONEY),
    Bad(JOB, f"{LIMITS}.cost", "0.0000001", MONEY),
    Bad(JOB, f"{LIMITS}.cost", 5.0, TEXT),
    Bad(JOB, f"{LIMITS}.flops", 10**18, TEXT),
    Bad(JOB, f"{LIMITS}.tokens", "1e30", "should match"),
    Bad(JOB, f"{LIMITS}.gpus", "8", "unknown field"),
    Bad(JOB, "spec.budget.currency", None, "a cost limit needs budget.currency, for example USD", named="spec.budget"),
    Bad(JOB, "spec.budget.currency", "usd", "should match '^[A-Z]{3}$'"),
    Bad(JOB, "spec.budget.deadline", "2001-01-01T00:00:00Z", "lies before the job was created"),
    Bad(JOB, "spec.budget.deadline", "tomorrow", "date-time"),
    Bad(JOB, "spec.budget.deadline", "2099-01-01T00:00:00+99:99", "should match"),
    Bad(JOB, "spec.budget.deadline", "9999-01-01T00:00:00Z", "should match"),
    Bad(JOB, "spec.budget.onExhausted", "Explode", 'supported values: "Land", "CheckpointAndStop"'),
    Bad(JOB, "spec.budget.accountRef", {}, "Required value", named="spec.budget.accountRef.name"),
    Bad(JOB, "spec.model", {"preset": "llama-1m", "config": {"vocab_size": 1}}, "exactly one of preset, config and pretrained"),
    Bad(JOB, "spec.model", {}, "exactly one of preset, config and pretrained"),
    Bad(JOB, "spec.model.lora", {"dropout": "1"}, "must be below 1"),
    Bad(JOB, "spec.modle", {"preset": "llama-1m"}, "unknown field"),
    Bad(JOB, "spec.data.train", {}, "Required value", named="spec.data.train.uri"),
    Bad(JOB, "spec.data.train.format", "CSV", 'supported values: "Text", "JSONL", "Parquet", "Tokens"'),
    Bad(JOB, "spec.data.validation", {"uri": "file:///v", "fraction": "0.1"}, "exactly one of fraction and uri"),
    Bad(JOB, "spec.data.validation", {"fraction": "1.5"}, 'must be between 0 and 1, for example "0.01"'),
    Bad(JOB, "spec.data.tokenizer", {"vocabularySize": 512, "uri": "file:///t"}, "exactly one of vocabularySize and uri"),
    Bad(JOB, "spec.data.tokenizer.vocabularySize", 100, "should be greater than or equal to 257"),
    Bad(JOB, "spec.data.sequenceLength", 4, "should be greater than or equal to 8"),
    Bad(JOB, "spec.data.seed", -1, "should be greater than or equal to 0"),
    Bad(JOB, "spec.training", {"learningRate": "0"}, 'training.learningRate must be above 0, for example "0.001"'),
    Bad(JOB, "spec.training", {"maxGradientNorm": "0"}, 'training.maxGradientNorm must be above 0, for example "1"'),
    Bad(JOB, "spec.training", {"landingFraction": "0.95"}, 'training.landingFraction must be above 0 and at most 0.9'),
    Bad(JOB, "spec.training.globalBatchSize", 0, "should be greater than or equal to 1"),
    Bad(JOB, "spec.compute.accelerators", {"min": 9, "max": 8}, "accelerators.min must not be above accelerators.max"),
    Bad(JOB, "spec.compute.accelerators.min", 0, "should be greater than or equal to 1"),
    Bad(JOB, "spec.compute.accelerators.max", "all", "must be of type integer"),
    Bad(JOB, "spec.compute.spot", "Sometimes", 'supported values: "Allow", "Never", "Only"'),
    Bad(JOB, "spec.compute.strategy.precision", "float8", 'supported values: "float32", "bfloat16"'),
    Bad(JOB, "spec.compute.startupTimeout", "0s", ONE_SECOND),
    Bad(JOB, "spec.compute.startupTimeout", "soon", "should match"),
    Bad(JOB, "spec.compute.startupTimeout", "99999999d", "should match"),
    Bad(JOB, "spec.checkpoint.storage", TWO, "exactly one of persistentVolumeClaim and uri"),
    Bad(JOB, "spec.checkpoint.storage", {}, "exactly one of persistentVolumeClaim and uri"),
    Bad(JOB, "spec.checkpoint.interval", "0s", ONE_SECOND),
    Bad(JOB, "spec.checkpoint.interval", "10 minutes", "should match"),
    Bad(JOB, "spec.checkpoint.keep", 0, "should be greater than or equal to 1"),
    Bad(JOB, "spec.backoffLimit", -1, "should be greater than or equal to 0"),
    Bad(JOB, "spec.ttlSecondsAfterFinished", "1h", "must be of type integer"),
    Bad(JOB, "spec.template.hostPID", True, "unknown field"),
    Bad(JOB, "spec.template.securityContext", {"privileged": True}, "unknown field"),
    Bad(JOB, "spec.template.volumes", HOST, "unknown field", named="spec.template.volumes[0].hostPath"),
    Bad(JOB, "spec.template.volumes", BOTH, "a volume is exactly one of", named="spec.template.volumes[0]"),
    Bad(JOB, "spec.template.volumes", SIXTEEN, "must have at most 16 items"),
    Bad(JOB, "spec.template.env", [{"name": "RANK", "value": "0"}], "are set by Farthing", named="spec.template.env[0]"),
    Bad(JOB, "spec.template.resources.limits", {"memory": "lots"}, "with a suffix up to T or Ti, for example 6Gi",
        named="template.resources.limits.memory"),
    Bad(JOB, "spec.template.metadata.labels", {"farthing.dev/attempt": "x"}, "use a prefix of yours",
        named="template.metadata.labels"),
    Bad(JOB, "metadata.name", "a" * 41, "must be at most 40 characters of a-z, 0-9 and '-'"),
    Bad(JOB, "metadata.name", "4train", "starting with a letter"),
    Bad(JOB, "metadata.name", "Train", "must consist of lower case alphanumeric characters"),
]  # fmt: skip
POOLS = [
    Bad(POOL, "spec.price", {}, "Required value", named="spec.price.perAcceleratorHour"),
    Bad(POOL, "spec.price.currency", None, "Required value"),
    Bad(POOL, "spec.price.source", None, "Required value"),
    Bad(POOL, "spec.price.perAcceleratorHour", 0.5, TEXT),
    Bad(POOL, "spec.price.perAcceleratorHour", "$0.50", MONEY),
    Bad(POOL, "spec.maxNodes", -1, "should be greater than or equal to 0"),
    Bad(POOL, "spec.minNodes", 2, "minNodes must not be above maxNodes", named="spec"),
    Bad(POOL, "spec.provider", "Magic", 'supported values: "Static", "Scale", "Karpenter", "ProvisioningRequest"'),
    Bad(POOL, "spec.rate", {"flopsPerSecond": "0"}, 'rate.flopsPerSecond must be above 0, for example "5e10"'),
    Bad(POOL, "spec.rate", {"flopsPerSecond": "1e9", "memoryBytesPerSecond": "0"}, "rate.memoryBytesPerSecond must be above 0"),
    Bad(POOL, "spec.networkBytesPerSecond", "0", 'networkBytesPerSecond must be above 0, for example "5e10"', named="spec"),
    Bad(POOL, "spec.networkBytesPerSecond", "400Gbit", "should match"),
    Bad(POOL, "spec.acceleratorMemory", "24 GB", "should match"),
    Bad(POOL, "spec.meanTimeBetweenFailures", "0h", ONE_SECOND),
    Bad(POOL, "spec.accelerator", None, "Required value"),
    Bad(POOL, "spec.acceleratorsPerNode", 0, "should be greater than or equal to 1"),
]
ACCOUNTS = [
    Bad(ACCOUNT, "spec.limits", {}, "needs at least one of cost"),
    Bad(ACCOUNT, "spec.limits.cost", "-5", MONEY),
    Bad(ACCOUNT, "spec.limits.cost", 100, TEXT),
    Bad(ACCOUNT, "spec.currency", None, "a cost limit needs spec.currency, for example USD", named="spec"),
    Bad(ACCOUNT, "spec.window", {"period": "0d"}, ONE_SECOND),
    Bad(ACCOUNT, "spec.window", {"period": "month"}, "should match"),
    Bad(ACCOUNT, "spec.window", {"period": "7d", "start": "monday"}, "date-time"),
    Bad(ACCOUNT, "spec.window", {"period": "7d", "start": "2999-01-01T00:00:00Z"}, "must lie before the year 2200"),
    Bad(ACCOUNT, "spec.parent", {"name": "company"}, "unknown field"),
]
RECORDS = [
    Bad(RECORD, "metadata.name", "another", "must be spec.attempt: a bill is found by its attempt's name"),
    Bad(RECORD, "spec.stage", "Select", 'supported values: "Prepare", "Train"'),
    Bad(RECORD, "spec.pods", 0, "should be greater than or equal to 1"),
    Bad(RECORD, "spec.held", {"cost": "-0.01"}, MONEY),
    Bad(RECORD, "spec.quote", None, "Required value"),
    Bad(RECORD, "spec.ends.hard", 2**40, "should be less than or equal to 2147483647"),
]
BAD = [*JOBS, *POOLS, *ACCOUNTS, *RECORDS]


@pytest.fixture
async def client(server: LocalCluster) -> AsyncIterator[Client]:
    async with await Client.connect(server.kubeconfig) as connected:
        yield connected


@pytest.mark.parametrize("bad", BAD, ids=str)
async def test_the_answer_names_the_field_and_the_way_out(client: Client, bad: Bad) -> None:
    manifest = changed(bad.manifest, {} if bad.base is POOL else {"metadata.namespace": NAMESPACE})
    with pytest.raises(Refused) as refusal:
        await client.create(path_of(manifest, NAMESPACE, collection=True) + STRICT, manifest)
    said = str(refusal.value)
    assert (bad.named or bad.field) in said
    assert bad.way_out in said


async def test_what_they_were_made_from_is_good(client: Client) -> None:
    for manifest in (JOB, POOL, ACCOUNT, RECORD):
        made = changed(manifest, {"metadata.name": "good"} if manifest is POOL else {"metadata.namespace": NAMESPACE})
        await client.create(path_of(made, NAMESPACE, collection=True) + STRICT, made)


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 40
    assert len({str(bad) for bad in BAD}) == len(BAD)
