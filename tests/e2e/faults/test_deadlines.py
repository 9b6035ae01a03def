"""Never over with the inner stops broken: deaf trainers whose supervisors do not kill, ended by Kubernetes' own deadlines.

One has both, and its pod's comes first. The other's pod has lost that one on its way through the API server: the Job's own ends
it. That the pod's alone suffices is shown without an API server, in `test_parts_down`.
"""

import json

import pytest
from tests.support.saboteurs import DEAF, a_pod_of, code_fault, pod_without_deadline, without_supervisor

pytestmark = pytest.mark.e2e

MONEY = "0.0095"
"""68 s of one accelerator, most of them start-up and reserve."""


@pytest.fixture(scope="module")
def broken(scene):
    """Both jobs, closed."""
    deafness, deaf = code_fault("deaf", DEAF)
    unguarded, no_supervisor = without_supervisor()
    scene.apply(deafness, unguarded)
    policy = pod_without_deadline("no-pod-end")
    scene.cluster.apply(*policy)
    try:
        scene.until(lambda: loses_its_deadline(scene, "no-pod-end"), "the policy to be in force")
        jobs = [scene.submit(name, MONEY, deaf, no_supervisor) for name in ("no-supervisor", "no-pod-end")]
        return {name: scene.close(name) for name in jobs}
    finally:
        for each in policy:
            scene.cluster.kubectl("delete", each["kind"].lower(), each["metadata"]["name"])


def loses_its_deadline(scene, job):
    create = ("create", "--dry-run=server", "-f", "-", "-o", "json")
    answer = scene.cluster.kubectl("-n", scene.api.namespace, *create, text=json.dumps(a_pod_of(job)))
    return "activeDeadlineSeconds" not in json.loads(answer)["spec"]


def test_the_deadlines_stop_what_its_supervisor_does_not(broken):
    job = broken["no-supervisor"]
    record = job.trained[0]
    ends = record["spec"]["ends"]

    assert record["status"]["outcome"] == "LeaseEnded"
    assert ends["supervisor"] < job.seconds(record) <= ends["hard"]


def test_the_jobs_deadline_stops_what_has_no_other(scene, broken):
    job = broken["no-pod-end"]
    record = job.trained[0]
    ends = record["spec"]["ends"]
    name = record["spec"]["attempt"]
    [batch] = [each.versions[-1] for each in scene.evidence.jobs.values() if each.attempt == name]
    [pod] = [each.versions[-1] for each in scene.evidence.pods.values() if each.attempt == name]

    assert "activeDeadlineSeconds" not in pod["spec"]
    assert "DeadlineExceeded" in [condition.get("reason") for condition in batch["status"].get("conditions", ())]
    assert record["status"]["outcome"] == "LeaseEnded"
    assert ends["pod"] < job.seconds(record) <= ends["hard"]
