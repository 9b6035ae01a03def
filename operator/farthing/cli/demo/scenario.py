"""The story, in order: a cluster, the operator, a job with money, an urgent one that takes its place, and both land.

`perform` plays it on a cluster that runs; `bring_up` makes one. Both can be done again and again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.cli.apply import apply_one
from farthing.cli.cluster import Cluster
from farthing.cli.demo import deploy, storage
from farthing.cli.demo.setting import CHECKPOINTS_FIRST, NAMESPACE, PATIENT, URGENT, Setting
from farthing.cli.demo.stopwatch import Stopwatch
from farthing.cli.demo.watching import Jobs, Witness
from farthing.cli.manifests import read_manifests
from farthing.cli.steps import Steps
from farthing.cli.tables import finished
from farthing.cli.where import Where
from farthing.contract.names import LABEL_ATTEMPT
from farthing.kube.resources import CONFIG_MAPS, JOBS, PODS, SECRETS, SERVICES, TRAINING_JOBS
from farthing.local.cluster import LocalCluster
from farthing.local.images import build_and_push

CHILDREN = (JOBS, PODS, SERVICES, CONFIG_MAPS, SECRETS)
"""What an attempt is made of, and must not leave behind."""

START_SECONDS = 900.0
"""From the first job's creation to its second checkpoint: image pull, prepare, start-up, and a busy machine."""
FINISH_SECONDS = 1800.0
SETTLE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left to read when the jobs are done."""

    jobs: dict[str, tuple[BudgetedTrainingJob, list[SpendRecord]]]
    witness: Witness
    leftovers: list[str]


def build_images(cluster: LocalCluster, clock: Stopwatch) -> dict[str, str]:
    """Both images, from the project's own Dockerfiles; references by name."""
    with clock.stage("build the images"), Steps() as progress:
        return {which: build_and_push(cluster, which, progress) for which in ("operator", "trainer")}


def perform(cluster: LocalCluster, images: Mapping[str, str], setting: Setting, clock: Stopwatch) -> Outcome:
    """Everything from `helm install` to the last settled bill. Raises FarthingError where the story stops."""
    with clock.stage("install the operator"), Steps() as progress:
        progress("helm install")
        deploy.install_operator(cluster, setting, images["operator"], images["trainer"])
    with Cluster(Where(kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)) as api:
        with clock.stage("set the stage"), Steps() as progress:
            set_the_stage(cluster, api, setting, progress)
            progress("pulling the trainer's image to the node")
            deploy.pull(cluster, images["trainer"])
        witness = Witness(api)
        submit(api, setting, PATIENT)
        with clock.stage(f"{PATIENT} trains"):
            witness.until(
                lambda _: len(witness.checkpoints.get(PATIENT, ())) >= CHECKPOINTS_FIRST,
                f"{CHECKPOINTS_FIRST} durable checkpoints of {PATIENT}",
                seconds=START_SECONDS,
            )
        submit(api, setting, URGENT)
        with clock.stage(f"{URGENT} takes its place and lands"):
            witness.until(_finished(URGENT), f"{URGENT} to land", seconds=FINISH_SECONDS)
        with clock.stage(f"{PATIENT} resumes and lands"):
            witness.until(_finished(PATIENT, URGENT), f"{PATIENT} to land", seconds=FINISH_SECONDS)
        with clock.stage("settle the bills"):
            jobs = witness.until(lambda jobs: _settled(api, jobs), "every bill settled", seconds=SETTLE_SECONDS)
        kept = {name: (jobs[name], api.records(jobs[name])) for name in (PATIENT, URGENT)}
        return Outcome(kept, witness, leftovers(api))


def set_the_stage(cluster: LocalCluster, api: Cluster, setting: Setting, progress: Callable[[str], None]) -> None:
    """Namespace, pool and volumes; what an earlier performance left is cleared away first."""
    progress("clearing away earlier jobs")
    cluster.apply(deploy.namespace())
    clear(api)
    progress("volumes for data and checkpoints")
    storage.empty_checkpoints(setting)
    storage.make_volumes(cluster, setting)
    progress("copying the standard library's sources")
    storage.copy_standard_library(setting)
    progress("the pool of two CPU slots")
    cluster.apply(deploy.pool(cluster.rate_file, setting))


def clear(api: Cluster) -> None:
    """Delete the namespace's training jobs and wait until their bills are settled and their children gone."""
    for job in api.jobs(api.namespace):
        api.delete(TRAINING_JOBS, job.metadata.name)
    Witness(api).until(lambda jobs: not jobs and not leftovers(api), "earlier jobs to be gone", seconds=SETTLE_SECONDS)


def submit(api: Cluster, setting: Setting, name: str) -> None:
    """Apply one of the examples."""
    for manifest in read_manifests(setting.examples / f"{name}.yaml"):
        apply_one(api, manifest)


def leftovers(api: Cluster) -> list[str]:
    """Children of attempts that still exist in the namespace, as `Kind/name`."""
    return [
        f"{resource.kind}/{item['metadata']['name']}"
        for resource in CHILDREN
        for item in api.every(resource, api.namespace, LABEL_ATTEMPT)
    ]


def _finished(*names: str) -> Callable[[Jobs], bool]:
    return lambda jobs: all(name in jobs and finished(jobs[name]) for name in names)


def _settled(api: Cluster, jobs: Jobs) -> bool:
    records = [record for job in jobs.values() for record in api.records(job)]
    return all(record.status.phase == "Settled" for record in records) and not leftovers(api)
