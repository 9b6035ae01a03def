"""Random resources that the API server takes: drawn from the CRDs' own OpenAPI schemas, then bent until the CEL rules hold.

A quarter of them is drawn whole. The others are a small valid object with a few of its fields, at any depth, drawn anew: those
get far enough into planner, ledger and manifests to trip over something.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tests.support.manifests import ACCOUNT, JOB, POOL, RECORD, Manifest, changed
from tests.support.schemas import instances

from farthing.api.crd import crds
from farthing.api.schema import JsonSchema
from farthing.catalog import preset

ACCOUNTS = ("account-0", "account-1", "account-2", "nobody")
"""What a job's accountRef may name; nobody has the last one."""
BASES: dict[str, Manifest] = {
    "BudgetedTrainingJob": changed(
        JOB,
        {
            "spec.data.tokenizer": {"vocabularySize": 1024},
            "spec.data.sequenceLength": 256,
            "spec.training": {"globalBatchSize": 4},
            "spec.checkpoint.storage": {"uri": "memory://checkpoints"},
        },
    ),
    "GPUNodePool": changed(POOL, {"spec.rate": {"flopsPerSecond": "5e10"}, "spec.maxNodes": 2}),
    "TrainingBudget": ACCOUNT,
    "SpendRecord": RECORD,
}
SCHEMAS: dict[str, JsonSchema] = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for crd in crds()
}


def resources(kind: str) -> st.SearchStrategy[Manifest]:
    """Manifests of a kind, without a name of their own yet."""
    schema, base = SCHEMAS[kind], BASES[kind]
    whole = instances(schema).map(lambda spec: {**base, "spec": spec})
    paths = dict(_paths(schema, base["spec"]))
    chosen = st.lists(st.sampled_from(sorted(paths)), min_size=0, max_size=4, unique=True)
    grafted = chosen.flatmap(
        lambda names: st.tuples(*(instances(paths[name]) for name in names)).map(
            lambda values: _grafted(base, dict(zip(names, values, strict=True)))
        )
    )
    known = _KNOWN[kind]
    return st.one_of(whole, grafted, grafted, grafted).flatmap(lambda drawn: known.map(lambda said: _FIXES[kind](drawn, said)))


def named(manifest: Manifest, name: str, namespace: str | None = None) -> Manifest:
    """The resource under this name; a spend record's attempt goes by the same."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace and manifest["kind"] != "GPUNodePool" else {})
    made = {**manifest, "metadata": metadata}
    return changed(made, {"spec.attempt": name}) if manifest["kind"] == "SpendRecord" else made


def _paths(schema: JsonSchema, base: Any, prefix: str = "spec") -> Iterator[tuple[str, JsonSchema]]:
    """Every field that can be set alone: where the base lacks its parent, the parent must need nothing else."""
    for name, member in schema.get("properties", {}).items():
        path, below = f"{prefix}.{name}", base.get(name) if isinstance(base, dict) else None
        yield path, member
        if below is not None or not member.get("required"):
            yield from _paths(member, below, path)


def _grafted(base: Manifest, values: dict[str, Any]) -> Manifest:
    """The base with fields set, outer ones first."""
    return changed(base, dict(sorted(values.items())))


# --- What CEL asks for: each fix keeps what was drawn wherever the rule allows it ---------------------------------------------


def _one_of(part: dict[str, Any], names: tuple[str, ...], default: Any) -> None:
    """Keep the first of the named members that is there; else set the first one."""
    present = [name for name in names if name in part]
    for name in present[1:]:
        del part[name]
    if not present:
        part[names[0]] = default


def _limits(part: dict[str, Any]) -> None:
    """At least one axis; a currency where there is money."""
    limits = part["limits"]
    if not limits:
        limits["tokens"] = "1e6"
    if "cost" in limits:
        part.setdefault("currency", "USD")


def _job(drawn: Manifest, said: dict[str, Any]) -> Manifest:
    made = changed(drawn, said)
    spec = made["spec"]
    spec.pop("managedBy", None) if spec.get("managedBy") else None
    _one_of(spec["model"], ("preset", "config", "pretrained"), "llama-1m")
    data = spec["data"]
    if "validation" in data:
        _one_of(data["validation"], ("fraction", "uri"), "0.01")
        if "fraction" in data["validation"]:
            data["validation"]["fraction"] = _inside(data["validation"]["fraction"])
    if "tokenizer" in data:
        _one_of(data["tokenizer"], ("vocabularySize", "uri"), 1024)
    _limits(spec["budget"])
    deadline = spec["budget"].get("deadline")
    if deadline is not None and not deadline.startswith("2199"):
        spec["budget"]["deadline"] = "2099-01-01T00:00:00Z"
    for part, name in ((spec.get("training", {}), "landingFraction"), (spec["model"].get("lora", {}), "dropout")):
        if name in part:
            part[name] = _inside(part[name])
    for name in ("learningRate", "maxGradientNorm"):
        if name in spec.get("training", {}) and not float(spec["training"][name]):
            spec["training"][name] = "0.000001"
    accelerators = spec.get("compute", {}).get("accelerators")
    if accelerators:
        accelerators["max"] = max(accelerators.get("max", 8), accelerators.get("min", 1))
    _one_of(spec["checkpoint"]["storage"], ("persistentVolumeClaim", "uri"), {"claimName": "checkpoints"})
    _template(spec.get("template", {}))
    return made


def _inside(fraction: str) -> str:
    return fraction if 0 < float(fraction) <= 0.9 else "0.01"


def _template(template: dict[str, Any]) -> None:
    for variable in template.get("env", []):
        if "value" in variable:
            variable.pop("valueFrom", None)
    for mount in template.get("volumeMounts", []):
        mount["mountPath"] = "/data/" + mount["mountPath"].replace("/", "").replace(".", "")
    for volume in template.get("volumes", []):
        kinds = ("emptyDir", "persistentVolumeClaim", "configMap", "secret", "projected", "csi", "ephemeral")
        _one_of(volume, kinds, {})


def _pool(drawn: Manifest, said: dict[str, Any]) -> Manifest:
    made = changed(drawn, said)
    spec = made["spec"]
    spec["maxNodes"] = max(spec.get("maxNodes", 1), spec.get("minNodes", 0))
    rate = spec.get("rate", {})
    rate |= {name: "1" for name, value in rate.items() if name.endswith("PerSecond") and not float(value)}
    return made


def _account(drawn: Manifest, said: dict[str, Any]) -> Manifest:
    made = changed(drawn, said)
    _limits(made["spec"])
    return made


def _record(drawn: Manifest, said: dict[str, Any]) -> Manifest:
    """Bills are opened before they are seen."""
    return changed(drawn, {**said, "spec.openedAt": "2020-01-01T00:00:00Z"})


_FIXES: dict[str, Callable[[Manifest, dict[str, Any]], Manifest]] = {
    "BudgetedTrainingJob": _job,
    "GPUNodePool": _pool,
    "TrainingBudget": _account,
    "SpendRecord": _record,
}
ODD = ({"vocab_size": 2}, {"num_hidden_layers": 10**9}, {"hidden_size": 1})
MODELS: Sequence[dict[str, Any]] = [{"preset": "llama-1m"}, *({"config": {**preset("llama-1m"), **each}} for each in ODD)]
PRICES = [{"perAcceleratorHour": each, "currency": "USD", "source": "example"} for each in ("0", "999999999999")]
_KNOWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "BudgetedTrainingJob": st.fixed_dictionaries(
        {},
        optional={
            "spec.budget.accountRef": st.sampled_from([{"name": each} for each in ACCOUNTS]),
            "spec.model": st.sampled_from(MODELS),
        },
    ),
    "GPUNodePool": st.fixed_dictionaries(
        {},
        optional={
            "spec.accelerator": st.sampled_from(["cpu-slot", "H100-80GB-SXM", "T4", "abacus"]),
            "spec.price": st.sampled_from(PRICES),
        },
    ),
    "TrainingBudget": st.just({}),
    "SpendRecord": st.just({}),
}
"""Names that mean something to other resources: drawn letters never would."""


# --- Twenty at once -----------------------------------------------------------------------------------------------------------

JOBS, POOLS, BUDGETS, RECORDS = 11, 4, 3, 2
TOWN = JOBS + POOLS + BUDGETS + RECORDS


@dataclass(frozen=True)
class Town:
    """Resources of all four kinds that stand in one cluster together."""

    jobs: Sequence[Manifest]
    pools: Sequence[Manifest]
    accounts: Sequence[Manifest]
    records: Sequence[Manifest]

    @property
    def job_names(self) -> list[str]:
        """What its jobs are called."""
        return [f"job-{index}" for index in range(len(self.jobs))]


def _some(kind: str, count: int) -> st.SearchStrategy[list[Manifest]]:
    return st.lists(resources(kind), min_size=count, max_size=count)


towns = st.builds(
    Town,
    jobs=_some("BudgetedTrainingJob", JOBS),
    pools=_some("GPUNodePool", POOLS),
    accounts=_some("TrainingBudget", BUDGETS),
    records=_some("SpendRecord", RECORDS),
)
