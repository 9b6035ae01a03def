"""A namespace on a control plane where faults are made and mended while an operator runs."""

from dataclasses import dataclass
from typing import Any

from tests.support.manifests import JOB, Manifest, changed
from tests.support.waiting import until

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.api.conditions import Condition, ConditionType, find, is_true
from farthing.contract.names import LABEL_ATTEMPT
from farthing.errors import Refused
from farthing.kube import resources as of
from farthing.kube.client import Client

PATIENCE = 120.0
"""Seconds: the Job controller itself waits up to a minute before it tries again, and the machine may be busy."""


CLUSTER_WIDE = (
    "GPUNodePool", "StorageClass", "PriorityClass", "RuntimeClass", "Namespace",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
)  # fmt: skip


def path_of(manifest: Manifest, namespace: str, *, collection: bool = False) -> str:
    """Path of an object, in this namespace where its kind has one; or that of all objects of its kind."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    plural = kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "es" if kind.endswith("s") else "s")
    where = "" if kind in CLUSTER_WIDE else f"/namespaces/{namespace}"
    root = f"/{'apis' if '/' in version else 'api'}/{version}{where}/{plural}"
    return root if collection else f"{root}/{manifest['metadata']['name']}"


@dataclass
class Bench:
    """One namespace, one job, and the hands to break and mend things."""

    client: Client
    namespace: str

    async def apply(self, *manifests: Manifest) -> None:
        """Objects of the namespace, or of the cluster: made, or merged into those that are there."""
        for manifest in manifests:
            if await self.client.get(path_of(manifest, self.namespace)) is None:
                await self.client.create(path_of(manifest, self.namespace, collection=True), manifest)
            else:
                await self.client.patch(path_of(manifest, self.namespace), manifest)

    async def delete(self, manifest: Manifest) -> None:
        """Take an object away."""
        await self.client.delete(path_of(manifest, self.namespace))

    async def in_force(self, said: str) -> None:
        """Wait until the API server refuses pods here with words in which this occurs."""
        container = {"name": "c", "image": "i"}
        probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": {"containers": [container]}}

        async def look() -> bool:
            try:
                await self.client.create(f"{of.PODS.path(self.namespace)}?dryRun=All", probe)
            except Refused as error:
                return said in str(error)
            return False

        await until(look, f"{said} is in force")

    async def submit(self, changes: dict[str, Any], name: str = "tiny") -> None:
        """A job of one accelerator that keeps its checkpoints at a URI."""
        given = {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec.data.tokenizer": {"vocabularySize": 1024},
            "spec.data.sequenceLength": 256,
            "spec.training": {"globalBatchSize": 4},
            "spec.compute": {"accelerators": {"min": 1, "max": 1}},
            "spec.checkpoint.storage": {"uri": "memory://checkpoints"},
        }
        await self.client.create(of.TRAINING_JOBS.path(self.namespace), changed(JOB, {**given, **changes}))

    async def patch(self, spec: dict[str, Any], name: str = "tiny") -> None:
        """A user edits the job."""
        await self.client.patch(of.TRAINING_JOBS.path(self.namespace, name), {"spec": spec})

    async def job(self, name: str = "tiny") -> BudgetedTrainingJob:
        """The job as it stands."""
        return BudgetedTrainingJob.model_validate(await self.client.get(of.TRAINING_JOBS.path(self.namespace, name)))

    async def says(self, kind: ConditionType, status: str, reason: str, *words: str, name: str = "tiny") -> Condition:
        """Wait until a condition of the job has this status and reason, and says all these words."""

        async def look() -> Condition | None:
            found = find((await self.job(name)).status.conditions, kind)
            if found is None or (found.status, found.reason) != (status, reason):
                return None
            return found if all(word in found.message for word in words) else None

        try:
            return await until(look, f"{name}: {kind} is {status} for {reason} and says {words}", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {(await self.job(name)).status.conditions}") from None

    async def stalls(self, reason: str, *words: str, name: str = "tiny") -> Condition:
        """Wait until the job is Stalled for that reason, in these words."""
        return await self.says(ConditionType.STALLED, "True", reason, *words, name=name)

    async def goes_on(self, name: str = "tiny") -> None:
        """Wait until an attempt of the job has all its pods, and nothing is stalled."""

        async def look() -> bool:
            open_records = [each for each in await self.records() if each.status.phase == "Open"]
            pods = await self.pods()
            stalled = is_true((await self.job(name)).status.conditions, ConditionType.STALLED)
            return bool(open_records) and not stalled and len(pods) >= open_records[-1].spec.pods

        await until(look, f"{name} goes on", PATIENCE)

    async def records(self) -> list[SpendRecord]:
        """The bills of the namespace, oldest first."""
        found = await self.client.list_items(of.RECORDS.path(self.namespace))
        return sorted((SpendRecord.model_validate(each) for each in found), key=lambda each: each.spec.number)

    async def pods(self) -> list[Manifest]:
        """Pods of attempts that have not ended."""
        found = await self.client.list_items(of.PODS.path(self.namespace), selector=LABEL_ATTEMPT)
        return [pod for pod in found if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    async def give_up(self, name: str = "tiny") -> None:
        """Delete the job; its attempt is ended and settled by and by."""
        await self.client.delete(of.TRAINING_JOBS.path(self.namespace, name))

    async def in_order(self) -> None:
        """Wait until every bill is settled and no child is left."""

        async def look() -> bool:
            settled = all(record.status.phase == "Settled" for record in await self.records())
            return settled and not await self.client.list_items(of.JOBS.path(self.namespace), selector=LABEL_ATTEMPT)

        await until(look, f"{self.namespace} is put in order", PATIENCE)
