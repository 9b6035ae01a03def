"""Never over with nobody there: the operator is scaled to zero right after two starts, and both attempts end by themselves.

One trainer lands inside its own end although its disk is slow; the other is deaf, and its supervisor kills it. When the
operator returns, both records close.
"""

import pytest
from tests.support.saboteurs import DEAF, SLOW_DISK, code_fault
from tests.support.scene import settled, workers

from farthing.cli.demo.setting import RELEASE, SYSTEM_NAMESPACE
from farthing.kube.resources import PODS

pytestmark = pytest.mark.e2e

MONEY = "0.0105"
"""75 s of one accelerator: prepare, start-up, some 25 s of training, and the reserve of an orderly end."""


@pytest.fixture(scope="module")
def alone(scene):
    """Both jobs, closed."""
    slow_disk, slow = code_fault("slow-disk", SLOW_DISK)
    deafness, deaf = code_fault("deaf", DEAF)
    scene.apply(slow_disk, deafness)
    jobs = [scene.submit("landing", MONEY, slow), scene.submit("deaf", MONEY, deaf)]
    scene.until(lambda: all(scene.pods(name) for name in jobs), "both attempts to start")
    scale(scene, 0)
    try:
        scene.until(lambda: all(ended(scene, name) for name in jobs), "both attempts to end by themselves")
        assert workers() == []
        assert [settled(scene.records(name)[-1]) for name in jobs] == [False, False]
    finally:
        scale(scene, 1)
    return {name: scene.close(name) for name in jobs}


def scale(scene, replicas):
    deployment = f"deployment/{RELEASE}"
    scene.cluster.kubectl("-n", SYSTEM_NAMESPACE, "scale", deployment, f"--replicas={replicas}")
    if not replicas:
        scene.until(lambda: not scene.api.every(PODS, SYSTEM_NAMESPACE), "the operator to be gone")


def ended(scene, name):
    return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in scene.pods(name))


def test_a_trainer_lands_inside_its_end_although_its_disk_is_slow(alone):
    landing = alone["landing"]
    [record] = landing.trained

    assert landing.job.status.state == "Complete"
    assert (record["status"]["outcome"], record["status"]["exitCode"]) == ("Landed", 0)
    assert record["status"]["lastStep"] > 1
    assert landing.seconds(record) <= record["spec"]["ends"]["trainer"]


def test_a_trainer_that_ignores_everything_is_killed_by_its_supervisor(alone):
    deaf = alone["deaf"]
    record = deaf.trained[0]
    ends, status = record["spec"]["ends"], record["status"]

    assert deaf.job.status.state == "Failed", "what is left buys no further attempt"
    assert (status["outcome"], status["exitCode"]) == ("LeaseEnded", 75)
    assert "killed at the supervisor's end" in status["message"]
    assert ends["trainer"] < deaf.seconds(record) <= ends["supervisor"]
