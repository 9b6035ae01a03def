"""`kubectl drain` of the node costs no step: the trainer saves, leaves, and goes on when the node is back."""

import threading

import pytest

from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.e2e

MONEY = "0.0125"
"""90 s of one accelerator for two attempts."""


class Drain(threading.Thread):
    """`kubectl drain` with the usual flags. It waits until every pod is gone, also those that wait for their bill."""

    def __init__(self, cluster: LocalCluster) -> None:
        super().__init__(name="drain")
        self.cluster = cluster
        self.said = ""

    def run(self) -> None:
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
        self.said = self.cluster.kubectl("drain", self.cluster.node_name, *flags)


def test_a_drain_costs_no_step_and_no_retry(scene):
    name = scene.submit("drained", MONEY, backoffLimit=0)
    scene.until_it_trains(name)

    drain = Drain(scene.cluster)
    drain.start()
    try:
        scene.until(lambda: [pod for pod in scene.pods(name) if pod["status"]["phase"] == "Failed"], "its pod to have left")
    finally:
        # The operator was drained too, and this is the only node: it comes back here, and settles what the drain waits for.
        scene.cluster.kubectl("uncordon", scene.cluster.node_name)
        drain.join()
    assert "drained" in drain.said
    job = scene.close(name)

    drained, resumed = job.trained
    assert (drained["status"]["outcome"], drained["status"]["exitCode"]) == ("Stopped", 143)
    assert "drained" in drained["status"]["message"]
    assert drained["status"].get("lostSteps", 0) == 0
    assert resumed["status"]["resumedFrom"] == drained["status"]["lastStep"] > 0
    assert resumed["status"]["firstStep"] == drained["status"]["lastStep"] + 1
    assert resumed["status"]["outcome"] == "Landed"
    assert job.job.status.state == "Complete", "with backoffLimit 0 a charged end would have failed it"
