"""The chart's life: an upgrade under a running job, an uninstall that stops what runs, and an install again."""

import pytest
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_lifecycle import named, training
from tests.support.bills import audit
from tests.support.evidence import Evidence

from farthing.cli.demo import deploy
from farthing.cli.demo.scenario import leftovers
from farthing.cli.demo.setting import RELEASE, SYSTEM_NAMESPACE
from farthing.cli.tables import finished
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT, LABEL_JOB
from farthing.kube.resources import PODS, RECORDS

pytestmark = pytest.mark.e2e


def operator_pods(cluster):
    selector = f"app.kubernetes.io/instance={RELEASE}"
    return cluster.get("pods", "-n", SYSTEM_NAMESPACE, "-l", selector)["items"]


def test_an_upgrade_leaves_running_jobs_alone(cluster, images, setting, api, submit, witness):
    name = submit("urgent", named("through-upgrade"))
    witness.until(training(name), "it to train", seconds=PATIENCE)
    before = {pod["metadata"]["uid"] for pod in operator_pods(cluster)}

    cluster.helm(
        "upgrade", RELEASE, str(setting.chart), "--namespace", SYSTEM_NAMESPACE, "--reuse-values", "--wait",
        "--timeout", "180s",
        "--set-string", "podAnnotations.upgraded=yes",
    )  # fmt: skip

    assert {pod["metadata"]["uid"] for pod in operator_pods(cluster)} - before, "a new operator runs"
    jobs = witness.until(lambda jobs: finished(jobs[name]), "it to land", seconds=PATIENCE)
    assert [record.status.outcome for record in api.records(jobs[name]) if record.spec.stage == "Train"] == ["Landed"]


def test_an_uninstall_stops_pods_and_keeps_jobs_and_bills(cluster, images, setting, api, submit, witness):
    """The operator checkpoints, stops and settles what runs before it goes; the next one goes on from there."""
    with Evidence(cluster.kubeconfig, api.namespace) as evidence:
        name = submit("urgent", named("through-uninstall"))
        witness.until(training(name), "it to train", seconds=PATIENCE)

        cluster.helm("uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", "300s")
        job = api.job(name)
        assert [(record.status.phase, record.status.outcome) for record in api.records(job)] == [
            ("Settled", "Prepared"),
            ("Settled", "Stopped"),
        ]
        assert [pod for pod in pods_of(api, name) if not is_over(pod)] == [], "pods stop with the operator"
        assert [pod for pod in pods_of(api, name) if FINALIZER_LEDGER in pod["metadata"].get("finalizers", ())] == []
        stopped = api.records(job)[-1].status

        deploy.install_operator(cluster, setting, images["operator"], images["trainer"])
        witness.until(lambda jobs: finished(jobs[name]) and not leftovers(api), "it to land", seconds=PATIENCE)
        records = [each for each in api.every(RECORDS, api.namespace) if each["spec"]["job"]["uid"] == job.metadata.uid]
        audit(evidence, records)
        resumed = api.records(job)[-1].status
        assert (resumed.outcome, resumed.resumed_from) == ("Landed", stopped.last_step), "no step is lost"


def pods_of(api, name):
    return api.every(PODS, api.namespace, f"{LABEL_JOB}={name},{LABEL_ATTEMPT}")


def is_over(pod):
    return pod["status"]["phase"] in ("Succeeded", "Failed")
