"""The chart's life: an upgrade under a running job, an uninstall that holds nothing up, and an install again."""

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
from farthing.local.shell import wait_until

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


def test_an_uninstall_lets_pods_go_and_keeps_jobs_and_bills(cluster, images, setting, api, submit, witness):
    """What runs, runs on to its own end and stops there; the next operator makes its bill from what Kubernetes wrote down."""
    with Evidence(cluster.kubeconfig, api.namespace) as evidence:
        name = submit("urgent", named("through-uninstall"))
        witness.until(training(name), "it to train", seconds=PATIENCE)

        cluster.helm("uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", "180s")
        assert [pod for pod in pods_of(api, name) if FINALIZER_LEDGER in pod["metadata"].get("finalizers", ())] == []
        wait_until(lambda: all(map(is_over, pods_of(api, name))), "its pods to end by themselves", seconds=PATIENCE)
        job = api.job(name)
        assert [record.status.phase for record in api.records(job)] == ["Settled", "Open"], "prepared, and waiting for its bill"
        assert pods_of(api, name), "they stand, with all that the bill is made from"

        deploy.install_operator(cluster, setting, images["operator"], images["trainer"])
        witness.until(lambda jobs: finished(jobs[name]) and not leftovers(api), "it to be settled", seconds=PATIENCE)
        records = [each for each in api.every(RECORDS, api.namespace) if each["spec"]["job"]["uid"] == job.metadata.uid]
        audit(evidence, records)
        assert [record["status"]["outcome"] for record in records if record["spec"]["stage"] == "Train"] == ["Landed"]


def pods_of(api, name):
    return api.every(PODS, api.namespace, f"{LABEL_JOB}={name},{LABEL_ATTEMPT}")


def is_over(pod):
    return pod["status"]["phase"] in ("Succeeded", "Failed")
