"""Faults that only show at run time: each stalls its job with a reason that names field and way out, and mending it is enough.

The operator runs with the chart's own rights, the Job controller, the scheduler and every admission plugin are real.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.bench import Bench, path_of
from tests.support.manifests import ACCOUNT, POOL, Manifest, changed
from tests.support.waiting import until

from farthing.api.conditions import Reason

pytestmark = pytest.mark.controller

Mend = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """A job that cannot run as things are: what it says, what is wrong around it, what is told, and what mends it."""

    job: dict[str, Any]
    reason: str
    words: tuple[str, ...]
    mend: Mend
    harm: tuple[Manifest, ...] = field(default_factory=tuple)


def spec_becomes(**spec: Any) -> Mend:
    async def mend(bench: Bench) -> None:
        await bench.patch(spec)

    return mend


def there_is(*manifests: Manifest) -> Mend:
    async def mend(bench: Bench) -> None:
        await bench.apply(*manifests)

    return mend


def there_is_no(manifest: Manifest) -> Mend:
    async def mend(bench: Bench) -> None:
        await bench.delete(manifest)

    return mend


def pool(name: str, **spec: Any) -> Manifest:
    """A pool of its own over the two pretended nodes, chosen by a label."""
    given = {
        "metadata": {"name": name, "labels": {"pool": name}},
        "spec.acceleratorsPerNode": 4,
        "spec.maxNodes": 2,
        "spec.nodeSelector": {"pool": "slots"},
        "spec.rate": {"flopsPerSecond": "5e10", "source": "written by hand"},
    }
    return changed(POOL, given | {f"spec.{key}": value for key, value in spec.items()})


def on(name: str) -> dict[str, Any]:
    return {"spec.compute.poolSelector": {"matchLabels": {"pool": name}}}


def core(kind: str, name: str, **members: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **members}


def claim(name: str, mode: str = "ReadWriteOnce", storage_class: str = "") -> Manifest:
    asked = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": storage_class}
    return core("PersistentVolumeClaim", name, spec=asked)


def kept_in(name: str) -> dict[str, Any]:
    return {"spec.checkpoint.storage": {"persistentVolumeClaim": {"claimName": name}}}


def quota(name: str = "count/jobs.batch", most: str = "0") -> Manifest:
    return core("ResourceQuota", "tight", spec={"hard": {name: most}})


OWN_ACCOUNT = changed(ACCOUNT, {"metadata.namespace": None})
PRICE = {"perAcceleratorHour": "0.50", "currency": "USD", "source": "example"}
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "fast"},
    "provisioner": "example.org/none",
}
PRIORITY = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "soon"}, "value": 10}
RUNTIME = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "cuda"}, "handler": "cuda"}
LIMITS = core("LimitRange", "small", spec={"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]})
SLOTS = "requests.farthing.dev/cpu-slot"

FAULTS: dict[str, Fault] = {
    "a pool without a price": Fault(
        on("free"), Reason.MISSING_PRICE, ("spec.price", "set perAcceleratorHour"),
        there_is(pool("free")), (pool("free", price=None),),
    ),
    "a pool priced in another currency": Fault(
        on("euro"), Reason.CURRENCY_MISMATCH, ("spec.price.currency", "EUR", "select another pool"),
        there_is(pool("euro")), (pool("euro", price={**PRICE, "currency": "EUR"}),),
    ),
    "an accelerator that the catalogue lacks": Fault(
        on("odd"), Reason.UNKNOWN_ACCELERATOR, ("spec.accelerator", "abacus", "use one of"),
        there_is(pool("odd")), (pool("odd", accelerator="abacus"),),
    ),
    "an accelerator that nobody rated": Fault(
        on("unrated"), Reason.INVALID_SPEC, ("spec.rate", "set spec.rate.flopsPerSecond"),
        there_is(pool("unrated")), (pool("unrated", rate=None),),
    ),
    "a selector that matches no pool": Fault(
        on("none"), Reason.NO_POOL, ("spec.compute.poolSelector.matchLabels", "none", "widen the selector"),
        spec_becomes(compute={"poolSelector": None}),
    ),
    "a pool that the namespace may not use": Fault(
        on("theirs"), Reason.NO_POOL, ("spec.compute.poolSelector.matchLabels", "theirs"),
        there_is(pool("theirs", namespaceSelector={"matchLabels": None})),
        (pool("theirs", namespaceSelector={"matchLabels": {"team": "other"}}),),
    ),
    "only pools that may be taken back": Fault(
        on("spot") | {"spec.compute.spot": "Never"}, Reason.NO_POOL, ("suits spot: Never",),
        spec_becomes(compute={"spot": "Allow"}), (pool("spot", spot=True),),
    ),
    "a gang that never fits": Fault(
        {"spec.compute.accelerators": {"min": 64, "max": 64}}, Reason.NEVER_FITS,
        ("compute.accelerators.min", "64", "lower min"),
        spec_becomes(compute={"accelerators": {"min": 1, "max": 2}}),
    ),
    "no claim of that name": Fault(
        kept_in("missing"), Reason.STORAGE_NOT_FOUND,
        ("checkpoint.storage.persistentVolumeClaim.claimName", "missing", "create it"),
        there_is(claim("missing")),
    ),
    "a claim of a storage class that is missing": Fault(
        kept_in("fast"), Reason.STORAGE_NOT_FOUND, ("claim fast", "StorageClass fast", "create the class"),
        there_is(STORAGE_CLASS), (claim("fast", storage_class="fast"),),
    ),
    "one node's volume for a gang of two": Fault(
        kept_in("once") | {"spec.compute.accelerators": {"min": 5, "max": 8}}, Reason.STORAGE_NOT_SHARED,
        ("checkpoint.storage", "claim once", "ReadWriteOnce", "use one with ReadWriteMany"),
        spec_becomes(compute={"accelerators": {"min": 1, "max": 1}}), (claim("once"),),
    ),
    "no priority class of that name": Fault(
        {"spec.priorityClassName": "soon"}, Reason.PRIORITY_CLASS_NOT_FOUND, ("priorityClassName", "soon", "create it"),
        there_is(PRIORITY),
    ),
    "no account of that name": Fault(
        {"spec.budget.accountRef": {"name": "team-a"}}, Reason.ACCOUNT_NOT_FOUND,
        ("budget.accountRef.name", "team-a", "create it"),
        there_is(OWN_ACCOUNT),
    ),
    "an account in another currency": Fault(
        {"spec.budget.accountRef": {"name": "team-a"}}, Reason.CURRENCY_MISMATCH,
        ("spec.budget.accountRef.name", "EUR", "priced in USD", "name an account in that currency"),
        there_is(OWN_ACCOUNT), (changed(OWN_ACCOUNT, {"spec.currency": "EUR"}),),
    ),
    "an axis that nothing can meter": Fault(
        {"spec.budget": {"limits": {"energy": "5"}}}, Reason.UNMETERED_AXIS, ("budget.limits.energy", "use cost"),
        spec_becomes(budget={"limits": {"energy": None, "cost": "5"}, "currency": "USD"}),
    ),
    "an account with a limit that nothing can meter": Fault(
        {"spec.budget.accountRef": {"name": "team-a"}}, Reason.UNMETERED_AXIS, ("account team-a: spec.limits.energy",),
        there_is({**OWN_ACCOUNT, "spec": {"limits": {"energy": None}}}), (changed(OWN_ACCOUNT, {"spec.limits.energy": "5"}),),
    ),
    "a preset that the catalogue lacks": Fault(
        {"spec.model.preset": "llama-9000"}, Reason.UNKNOWN_PRESET, ("spec.model.preset", "llama-9000", "use one of"),
        spec_becomes(model={"preset": "llama-1m"}),
    ),
    "a model that the trainer cannot build": Fault(
        {"spec.model": {"config": {"model_type": "gpt2"}}}, Reason.INVALID_SPEC,
        ("spec.model.config", "gpt2", "use one of llama"),
        spec_becomes(model={"config": None, "preset": "llama-1m"}),
    ),
    "weights without their config": Fault(
        {"spec.model": {"pretrained": {"uri": "file:///models/x"}}}, Reason.INVALID_SPEC,
        ("spec.model.pretrained.config", "copy the folder's config.json here"),
        spec_becomes(model={"pretrained": None, "preset": "llama-1m"}),
    ),
    "a selection that nothing can run yet": Fault(
        {"spec.data.selection": {"mode": "Importance"}}, Reason.INVALID_SPEC, ("data.selection.mode", "Importance", "use None"),
        spec_becomes(data={"selection": {"mode": "None"}}),
    ),
    "a strategy that divides no batch": Fault(
        {"spec.compute.strategy": {"microBatchSize": 3}}, Reason.NO_PLAN, ("strategy.microBatchSize",),
        spec_becomes(compute={"strategy": {"microBatchSize": 2}}),
    ),
    "a quota of Jobs": Fault(
        {}, Reason.REFUSED, ("exceeded quota: tight", "count/jobs.batch"),
        there_is_no(quota()), (quota(),),
    ),
    "a quota of accelerators": Fault(
        {}, Reason.REFUSED, ("cannot make its pods", "exceeded quota: tight", "is mended"),
        there_is(quota(SLOTS, "4")), (quota(SLOTS),),
    ),
    "a limit range": Fault(
        {}, Reason.REFUSED, ("cannot make its pods", "maximum memory usage per Container is 1Mi"),
        there_is_no(LIMITS), (LIMITS,),
    ),
    "no service account of that name": Fault(
        {"spec.template.serviceAccountName": "reader"}, Reason.REFUSED, ("cannot make its pods", "serviceaccount", "reader"),
        there_is(core("ServiceAccount", "reader")),
    ),
    "no runtime class of that name": Fault(
        {"spec.template.runtimeClassName": "cuda"}, Reason.REFUSED, ("cannot make its pods", "RuntimeClass", "cuda"),
        there_is(RUNTIME),
    ),
    "a label that no pod may have": Fault(
        {"spec.template.nodeSelector": {"not a label!": "x"}}, Reason.REFUSED, ("nodeSelector", "not a label!"),
        spec_becomes(template={"nodeSelector": {"not a label!": None}}),
    ),
}  # fmt: skip


async def counted(bench: Bench, fault: Fault) -> None:
    """A quota holds from the moment that its controller has counted."""
    for manifest in (each for each in fault.harm if each["kind"] == "ResourceQuota"):

        async def look(path: str = path_of(manifest, bench.namespace)) -> Any:
            return ((await bench.client.get(path)) or {}).get("status", {}).get("used")

        await until(look, "the quota is counted")


@pytest.mark.parametrize("name", list(FAULTS))
async def test_it_stalls_with_field_and_way_out_and_mending_is_enough(bench: Bench, name: str) -> None:
    fault = FAULTS[name]
    await bench.apply(*fault.harm)
    await counted(bench, fault)
    await bench.submit(fault.job)
    await bench.stalls(fault.reason, *fault.words)
    await fault.mend(bench)
    await bench.goes_on()
