"""The chart's life: an upgrade under a running job, an uninstall that holds nothing up, and an install again."""

import json

import pytest
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_lifecycle import named, training

from farthing.cli.demo import deploy
from farthing.cli.demo.scenario import leftovers
from farthing.cli.demo.setting import RELEASE, SYSTEM_NAMESPACE
from farthing.cli.tables import finished
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT
from farthing.kube.resources import PODS

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
    name = submit("urgent", named("through-uninstall"))
    witness.until(training(name), "it to train", seconds=PATIENCE)

    cluster.helm("uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", "180s")
    held = [
        pod
        for pod in api.every(PODS, api.namespace, LABEL_ATTEMPT)
        if FINALIZER_LEDGER in pod["metadata"].get("finalizers", ())
    ]
    kept = json.loads(cluster.kubectl("-n", api.namespace, "get", "btj", name, "-o", "json"))
    assert held == []
    assert kept["metadata"]["name"] == name

    deploy.install_operator(cluster, setting, images["operator"], images["trainer"])
    witness.until(lambda jobs: finished(jobs[name]) and not leftovers(api), "it to land", seconds=PATIENCE)
