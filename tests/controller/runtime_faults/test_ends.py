"""Faults of jobs that have started, or that time overtook: the condition that names them, and what it takes to go on."""

from typing import Any

import pytest
from tests.controller.test_operator import ended, word
from tests.support.bench import Bench
from tests.support.manifests import ACCOUNT, Manifest, changed
from tests.support.waiting import until

from farthing.api import SpendRecord
from farthing.api.conditions import ConditionType, Reason
from farthing.kube import resources as of

pytestmark = pytest.mark.controller


async def pod_of(bench: Bench) -> Manifest:
    """The attempt's only pod, once kwok has started it."""

    async def look() -> Manifest | None:
        return next((pod for pod in await bench.pods() if pod["status"].get("containerStatuses")), None)

    found: Manifest = await until(look, "a pod runs")
    return found


async def ends_with(bench: Bench, exit_code: int, reason: str, message: str = "") -> SpendRecord:
    """The trainer leaves with this code and last word; the bill that follows."""
    pod, record = await pod_of(bench), (await bench.records())[-1]
    said = {**word(record.spec.attempt, record.spec.stage, reason, exit_code), "message": message}
    await bench.client.patch(of.PODS.of(pod, "status"), {"status": ended(pod, said, exit_code)})

    async def settled() -> SpendRecord | None:
        newest = {each.metadata.name: each for each in await bench.records()}[record.metadata.name]
        return newest if newest.status.outcome else None

    bill: SpendRecord = await until(settled, "the bill is settled")
    return bill


async def patch_pod(bench: Bench, status: dict[str, Any]) -> None:
    await bench.client.patch(of.PODS.of(await pod_of(bench), "status"), {"status": status})


BAD_INPUT = [
    "data.train.uri: 'file:///data/*.py' cannot be used: it names no file; check the path and the pattern",
    "data.train.uri: 'file:///data/*.py' cannot be used: all its files are empty; give it some text",
    "model.config.vocab_size: 300 cannot be used: the tokenizer has 400 tokens; lower data.tokenizer.vocabularySize",
    "data.validationFraction: 0.01 cannot be used: only 3 validation tokens; raise it or give data.validation",
]


@pytest.mark.parametrize("message", BAD_INPUT, ids=["unreadable", "empty", "tokenizer", "validation"])
async def test_what_the_trainer_cannot_use_stalls_in_its_own_words_until_the_spec_changes(bench: Bench, message: str) -> None:
    await bench.submit({})
    await bench.goes_on()
    bill = await ends_with(bench, 64, "BadConfig", message)
    assert bill.status.outcome == "BadConfig"
    told = await bench.stalls(Reason.BAD_CONFIG, message)
    assert "suspend" in told.message
    await bench.patch({"suspend": True})
    await bench.says(ConditionType.SUSPENDED, "True", Reason.SUSPENDED)
    await bench.patch({"suspend": False})
    await bench.goes_on()


async def test_failures_beyond_the_backoff_limit_fail_the_job_until_it_is_raised(bench: Bench) -> None:
    await bench.submit({"spec.backoffLimit": 0})
    await bench.goes_on()
    await ends_with(bench, 1, "InternalError", "a bug")
    await bench.says(ConditionType.FAILED, "True", Reason.BACKOFF_LIMIT_EXCEEDED, "backoffLimit is 0", "a bug")
    await bench.patch({"backoffLimit": 3})
    await bench.goes_on()


async def test_a_deadline_that_passes_in_the_queue_fails_the_job_until_it_is_moved(bench: Bench) -> None:
    await bench.submit(
        {"spec.budget.deadline": "2001-01-01T00:00:00Z", "spec.compute.poolSelector": {"matchLabels": {"pool": "none"}}}
    )
    await bench.says(ConditionType.FAILED, "True", Reason.DEADLINE_EXCEEDED, "budget.deadline", "2001-01-01")
    await bench.patch({"budget": {"deadline": "2099-01-01T00:00:00Z"}})
    await bench.stalls(Reason.NO_POOL)
    await bench.patch({"compute": {"poolSelector": None}})
    await bench.goes_on()


async def test_an_empty_account_lets_its_jobs_wait_until_it_is_raised(bench: Bench) -> None:
    empty = changed(ACCOUNT, {"metadata.namespace": None, "spec.limits.cost": "0"})
    await bench.apply(empty)
    await bench.submit({"spec.budget.accountRef": {"name": "team-a"}})
    await bench.says(ConditionType.ADMITTED, "False", Reason.ACCOUNT_EXHAUSTED, "account team-a", "raise limits.cost")
    await bench.apply(changed(empty, {"spec.limits.cost": "10"}))
    await bench.goes_on()


async def test_an_image_that_cannot_be_pulled_is_named_while_the_gang_waits(bench: Bench) -> None:
    await bench.submit({"spec.template.image": "example.org/no/such:image"})
    await bench.goes_on()
    message = "Back-off pulling image example.org/no/such:image: pull access denied, check imagePullSecrets"
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    container = {"name": "trainer", "image": "example.org/no/such:image", "imageID": "", "ready": False, "restartCount": 0}
    not_ready = {"conditions": [{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "True"}]}
    await patch_pod(bench, {"phase": "Pending", "containerStatuses": [{**container, "state": waiting}], **not_ready})
    await bench.says(ConditionType.PODS_READY, "False", "Starting", "ImagePullBackOff", message)
    running = {"running": {"startedAt": "2026-11-24T12:00:00Z"}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]}
    await patch_pod(bench, {"phase": "Running", "containerStatuses": [{**container, "ready": True, "state": running}], **ready})
    await bench.says(ConditionType.PODS_READY, "True", "Running")


async def test_a_node_selector_that_no_node_has_is_named_in_the_scheduler_s_words(bench: Bench) -> None:
    await bench.submit({"spec.template.nodeSelector": {"example.org/zone": "mars"}})
    await bench.says(ConditionType.CAPACITY_READY, "False", "Starting", "Unschedulable", "node affinity/selector")


async def test_an_admission_policy_that_refuses_the_pods_is_told_and_lifted(bench: Bench) -> None:
    name = f"only-ours-{bench.namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "images come from registry.example.org"}],
    }
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bench.namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
    policy = {**kind, "kind": "ValidatingAdmissionPolicy", "spec": spec}
    bound = {**kind, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding}
    await bench.apply(policy, bound)
    await bench.in_force(name)
    await bench.submit({})
    await bench.stalls(Reason.REFUSED, "cannot make its pods", "images come from registry.example.org")
    await bench.delete(bound)
    await bench.delete(policy)
    await bench.goes_on()


async def test_a_namespace_that_enforces_the_restricted_level_takes_our_pods(bench: Bench) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await bench.client.patch(of.NAMESPACES.path(name=bench.namespace), {"metadata": {"labels": labels}})
    await bench.submit({})
    await bench.goes_on()
