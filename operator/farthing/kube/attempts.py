"""Starting, steering and ending attempts on a real API server: `engine.ports.Attempts`.

A start is fenced by its order: the hold under resourceVersion, then the record, whose name only one leader can take, then the
children, then the Job. Each is POSTed, never applied: an apply would bring back what another leader deleted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT, LABEL_JOB_UID, TOKEN_KEY
from farthing.domain.decision import OpenAttempt, SettleAttempt
from farthing.domain.manifests import AttemptManifests
from farthing.domain.snapshot import Attempt
from farthing.errors import Conflict, Refused
from farthing.kube.books import Books
from farthing.kube.client import Client, Taken
from farthing.kube.facts import pod_facts
from farthing.kube.operator_key import OperatorKey
from farthing.kube.resources import (
    CONFIG_MAPS,
    JOBS,
    NETWORK_POLICIES,
    POD_GROUPS,
    PODS,
    RECORDS,
    SECRETS,
    SERVICES,
    TRAINING_JOBS,
    resource_of,
)
from farthing.ledger import evidence

Dict = Mapping[str, Any]

DELETION_ORDER: Final = (JOBS, NETWORK_POLICIES, SECRETS, CONFIG_MAPS, SERVICES)
"""The Service is made first and deleted last: it stands as long as any child may (see `watches`)."""


class ClusterAttempts:
    """The attempts of one cluster. `native_gangs`: PodGroups are served and have to be deleted."""

    def __init__(self, client: Client, key: OperatorKey, books: Books, *, native_gangs: bool) -> None:
        self._client = client
        self._key = key
        self._books = books
        self._native_gangs = native_gangs

    async def open_attempt(self, action: OpenAttempt, job: BudgetedTrainingJob, children: AttemptManifests) -> None:
        """Reserve and act as one; found half done it goes on where it stopped.

        Raises Conflict where another leader was here or the caches are behind, InsufficientBudget where the hold does not fit,
        Refused with the API server's text.
        """
        record = await self._client.get(RECORDS.of(children.record))
        if record is None:
            records = await self._check_number(action, job, children.record)
            await self._books.hold(job, action.attempt, action.lease.held, records)
            record = await self._client.create(RECORDS.path(job.metadata.namespace), children.record)
        else:
            _check_same(record, children.record)
        if job.spec.budget.account_ref is not None:
            # Whoever led while we were away may have dropped the hold as long as it had no record; now that it has, it stays.
            await self._books.hold(job, action.attempt, action.lease.held, ())
        await self._create_children(children, record["metadata"]["uid"])
        await self._check_still_open(children.record)
        await self._create(children.job)

    async def _check_still_open(self, wanted: Dict) -> None:
        """Raise Conflict where the attempt was settled while we were away: what starts now would be on no bill.

        If that happens after this look, the children that were made above are gone with it, and the Job starts nothing.
        """
        record = await self._client.get(RECORDS.of(wanted))
        if record is None:
            raise Conflict(f"SpendRecord {wanted['metadata']['name']} is gone: another leader was here")
        _check_same(record, wanted)

    async def release(self, attempt: Attempt) -> None:
        """Set the Job's suspend to false. A Job made anew under the name is left alone."""
        if attempt.job is not None and attempt.job.suspended:
            await self._client.patch(_job_path(attempt), {"metadata": {"uid": attempt.job.uid}, "spec": {"suspend": False}})

    async def lower_deadline(self, attempt: Attempt, seconds: int) -> None:
        """Lower the Job's activeDeadlineSeconds. Raises Conflict where it is not what the cache says."""
        present = attempt.job.active_deadline_seconds if attempt.job else None
        if present is None or seconds >= present:
            return
        path = "/spec/activeDeadlineSeconds"
        change = [{"op": "test", "path": path, "value": present}, {"op": "replace", "path": path, "value": seconds}]
        try:
            await self._client.patch(_job_path(attempt), change, "json")
        except Refused as error:
            live = await self._client.get(_job_path(attempt))
            if live is None or live["spec"].get("activeDeadlineSeconds") == present:
                raise
            raise Conflict(f"Job {attempt.name}: its deadline changed since it was read") from error

    async def end_pods(self, attempt: Attempt) -> None:
        """Delete every pod of the attempt that is not being deleted yet; one that was made anew under its name stays."""
        for pod in await self._pods(attempt):
            if "deletionTimestamp" not in pod["metadata"]:
                await self._client.delete(PODS.of(pod), uid=pod["metadata"]["uid"])

    async def append_quote(self, attempt: Attempt, quote: dict[str, Any]) -> None:
        """Append a quote to the record's status.quotes under resourceVersion; one that stands last already stays alone."""
        record = await self._client.get(_record_path(attempt))
        if record is None:
            raise Conflict(f"SpendRecord {attempt.name} is gone")
        status = record.get("status") or {}
        quotes = status.get("quotes") or []
        if quotes and quotes[-1] == quote:
            return
        record["status"] = {"phase": "Open", **status, "quotes": [*quotes, quote]}
        await self._client.replace(_record_path(attempt, "status"), record)

    async def settle(self, action: SettleAttempt, attempt: Attempt) -> None:
        """Record, books, finalizers, children, in this order: a crash in between leaves something that the next cycle sees.

        The bill that stands in the record is the one that goes into the books, whoever made it. Raises Conflict where the Job
        or the pods are not as the evidence has them: the bill is made once, and not on an old cache.
        """
        record = await self._client.get(_record_path(attempt))
        if record is not None:
            standing = record.get("status") or {}
            if standing.get("phase") != "Settled":
                await self._check_evidence(action, attempt)
                # The quotes as they stand, to the letter: the API server holds them to be append-only.
                kept = {"quotes": standing["quotes"]} if standing.get("quotes") else {}
                record["status"] = {**action.status.to_dict(), **kept}
                record = await self._client.replace(_record_path(attempt, "status"), record)
            await self._settle_books(SpendRecord.model_validate(record))
        await self.clean_up(attempt)

    async def clean_up(self, attempt: Attempt) -> None:
        """Take the ledger's finalizer off the attempt's pods and delete its children; what is gone already is fine.

        Pods go with the Job that owns them; those that nobody owns are deleted by name.
        """
        namespace = attempt.record.metadata.namespace
        for pod in await self._pods(attempt):
            await self._release_pod(pod)
            if not pod["metadata"].get("ownerReferences"):
                await self._client.delete(PODS.of(pod), uid=pod["metadata"]["uid"])
        groups = (POD_GROUPS,) if self._native_gangs else ()
        for resource in (*groups, *DELETION_ORDER):
            await self._client.delete(resource.path(namespace, attempt.name))

    async def release_hold(self, namespace: str, job: str, attempt: str, account: str | None) -> None:
        """Drop the hold of an attempt that has no record, or book the bill of one whose record is settled.

        Raises Conflict where the record is open: its hold stays.
        """

        async def unrecorded() -> None:
            if await self._client.get(RECORDS.path(namespace, attempt)) is not None:
                raise Conflict(f"SpendRecord {namespace}/{attempt} exists: its hold stays until it is settled")

        found = await self._client.get(RECORDS.path(namespace, attempt))
        record = None if found is None else SpendRecord.model_validate(found)
        if record is not None and record.status.phase == "Settled":
            await self._settle_books(record)
        else:
            await self._books.drop(namespace, job, attempt, account, unrecorded)

    async def _settle_books(self, record: SpendRecord) -> None:
        charged = record.status.charged
        await self._books.settle(record, {} if charged is None else charged.as_decimals())

    async def _pods(self, attempt: Attempt) -> Sequence[dict[str, Any]]:
        """Its pods, by label: whoever owns them."""
        namespace = attempt.record.metadata.namespace
        return await self._client.list_items(PODS.path(namespace), selector=f"{LABEL_ATTEMPT}={attempt.name}")

    async def _check_evidence(self, action: SettleAttempt, attempt: Attempt) -> None:
        """Job, pods and training job from a quorum read, never the cache."""
        job = await self._client.get(_job_path(attempt))
        pods = [pod_facts(pod) for pod in await self._pods(attempt)]
        missed = not action.job_deleted and await self._owner_deleted(attempt)
        evidence.check(attempt, job_stands=job is not None, pods=pods, missed_deletion=missed)

    async def _owner_deleted(self, attempt: Attempt) -> bool:
        """Whether the training job of this attempt is gone, or on its way."""
        owner = attempt.record.spec.job
        found = await self._client.get(TRAINING_JOBS.path(attempt.record.metadata.namespace, owner.name))
        return found is None or found["metadata"]["uid"] != owner.uid or "deletionTimestamp" in found["metadata"]

    async def _check_number(self, action: OpenAttempt, job: BudgetedTrainingJob, record: Dict) -> list[SpendRecord]:
        """Every record of the job from a quorum read, never the cache.

        Raises Conflict unless the number is the next one and no other attempt's bill is open.
        """
        assert record["metadata"]["labels"][LABEL_JOB_UID] == job.metadata.uid
        selector = f"{LABEL_JOB_UID}={job.metadata.uid}"
        items = await self._client.list_items(RECORDS.path(job.metadata.namespace), selector=selector)
        records = [SpendRecord.model_validate(item) for item in items]
        highest = max((each.spec.number for each in records), default=0)
        if action.number != highest + 1:
            raise Conflict(f"attempt {action.attempt}: the highest spend record is number {highest}; the cache is behind")
        still_open = [each.metadata.name for each in records if each.status.phase == "Open"]
        if still_open:
            raise Conflict(f"attempt {action.attempt}: the bill of {still_open[0]} is still open; the cache is behind")
        return records

    async def _create_children(self, children: AttemptManifests, record_uid: str) -> None:
        """The Service first, then the Secret with its token, then the rest."""
        secret = {**children.secret, "stringData": {TOKEN_KEY: self._key.token(record_uid)}}
        for manifest in _service_first([secret, *children.children]):
            await self._create(manifest)

    async def _create(self, manifest: Dict) -> None:
        """POST; an object of that name is fine when it is this attempt's own from an earlier try."""
        resource = resource_of(manifest)
        try:
            await self._client.create(resource.path(manifest["metadata"]["namespace"]), manifest)
        except Conflict as error:
            if resource is SECRETS and isinstance(error, Taken):
                # Farthing reads no Secret but its own. The token in it is a function of the record: if the name is taken by
                # something else, the trainer refuses the operator's requests and is ended by its deadline.
                return
            found = None if resource is SECRETS else await self._client.get(resource.of(manifest))
            if found is None or (found["metadata"].get("labels") or {}).get(LABEL_ATTEMPT) != manifest["metadata"]["name"]:
                raise

    async def _release_pod(self, pod: Dict) -> None:
        """Drop the finalizer by its index, tested: a list that changed meanwhile refuses the patch. Raises Conflict then."""
        finalizers: Sequence[str] = pod["metadata"].get("finalizers") or ()
        if FINALIZER_LEDGER not in finalizers:
            return
        path = f"/metadata/finalizers/{finalizers.index(FINALIZER_LEDGER)}"
        change = [{"op": "test", "path": path, "value": FINALIZER_LEDGER}, {"op": "remove", "path": path}]
        try:
            await self._client.patch(PODS.of(pod), change, "json")
        except Refused as error:
            live = await self._client.get(PODS.of(pod))
            if live is not None and live["metadata"].get("finalizers") == list(finalizers):
                raise
            raise Conflict(f"Pod {pod['metadata']['name']}: its finalizers changed since they were read") from error


def _check_same(record: Dict, wanted: Dict) -> None:
    """Raise Conflict unless the record that stands is open and says what this start says."""
    standing, ours = SpendRecord.model_validate(record), SpendRecord.model_validate(wanted)
    if standing.status.phase != "Open" or standing.spec != ours.spec:
        raise Conflict(f"SpendRecord {ours.metadata.name} exists with another content: another leader was here")


def _service_first(manifests: Sequence[Dict]) -> Sequence[Dict]:
    return sorted(manifests, key=lambda manifest: manifest["kind"] != SERVICES.kind)


def _job_path(attempt: Attempt) -> str:
    return JOBS.path(attempt.record.metadata.namespace, attempt.name)


def _record_path(attempt: Attempt, subresource: str | None = None) -> str:
    return RECORDS.path(attempt.record.metadata.namespace, attempt.name, subresource)
