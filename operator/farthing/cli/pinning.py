"""A plan written into its job's manifest: the planner then has nothing left to choose. The rest of the text stays as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.domain.plan import Plan
from farthing.errors import InvalidSpec

STRATEGY = {
    "precision": "precision",
    "sharding": "sharding",
    "grouping": "grouping",
    "activationCheckpointing": "activation_checkpointing",
    "microBatchSize": "micro_batch",
    "deterministic": "deterministic",
    "compile": "compile",
}
"""Field of spec.compute.strategy → member of a plan's strategy."""


def pinned(text: str, job: BudgetedTrainingJob, plan: Plan, pools: Sequence[GPUNodePool]) -> str:
    """The manifests in `text` with this plan of their one job fixed: strategy, accelerators, pool, and the adapter of `Auto`.

    `pools` are those that the plan was chosen from. Comments and layout stay, but for those inside spec.compute. Raises
    InvalidSpec where no label tells the plan's pool from the others.
    """
    documents = list(yaml.safe_load_all(text))
    at = next(i for i, document in enumerate(documents) if document and document["kind"] == job.kind)
    spec = documents[at]["spec"]
    changes: dict[str, Any] = {"compute": _compute(spec.get("compute") or {}, plan, pools)}
    if job.spec.model.adapter == "Auto":
        changes["model"] = {**spec["model"], "adapter": plan.strategy.adapter}
    wanted = [*documents]
    wanted[at] = {**documents[at], "spec": {**spec, **changes}}
    edited = _edited(text, at, changes)
    if edited is not None and list(yaml.safe_load_all(edited)) == wanted:
        return edited
    return str(yaml.safe_dump_all(wanted, sort_keys=False, allow_unicode=True))


def _compute(written: Mapping[str, Any], plan: Plan, pools: Sequence[GPUNodePool]) -> dict[str, Any]:
    """spec.compute with nothing left open; what else stands there is kept."""
    count = plan.allocation.accelerators
    selector = _selector(written.get("poolSelector") or {}, plan.allocation.pool, pools)
    return {
        **written,
        **({"poolSelector": selector} if selector else {}),
        "accelerators": {"min": count, "max": count},
        "strategy": {field: getattr(plan.strategy, member) for field, member in STRATEGY.items()},
    }


def _selector(written: Mapping[str, Any], name: str, pools: Sequence[GPUNodePool]) -> dict[str, Any]:
    """Labels that select this pool alone: those that are written already, with one more where that is enough, or with all."""
    stated: dict[str, str] = dict(written.get("matchLabels") or {})
    labels = next(pool.metadata.labels for pool in pools if pool.metadata.name == name)
    others = [pool.metadata.labels for pool in pools if pool.metadata.name != name]
    for more in ({}, *({key: value} for key, value in sorted(labels.items())), labels):
        wanted = {**stated, **more}
        if not any(wanted.items() <= other.items() for other in others):
            return {"matchLabels": wanted} if wanted else {}
    remedy = "another pool has all of its labels; give it a label of its own, or plan with its manifest alone"
    raise InvalidSpec("--pin", name, remedy)


def _edited(text: str, at: int, changes: Mapping[str, Any]) -> str | None:
    """The text with these fields of the spec changed; None where that is no YAML, as when an anchor went with a field."""
    try:
        for field, value in changes.items():
            text = _with_field(text, at, field, value)
        list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        return None
    return text


def _with_field(text: str, at: int, field: str, value: Mapping[str, Any]) -> str:
    """The text with another value for one field of the spec, or with that field before the first one."""
    spec = _value(list(yaml.compose_all(text, Loader=yaml.SafeLoader))[at], "spec")
    old = _value(spec, field)
    first = spec.value[0][0].start_mark
    new: str
    if spec.flow_style:
        new = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()
        if old is not None:
            return text[: old.start_mark.index] + new + text[_end(old) :]
        return f"{text[: first.index]}{field}: {new}, {text[first.index :]}"
    margin = " " * first.column
    body = yaml.safe_dump(value, default_flow_style=False, sort_keys=False)
    new = f"{field}:\n" + "".join(f"{margin}  {line}\n" for line in body.splitlines())
    if old is None:
        return f"{text[: first.index]}{new}{margin}{text[first.index :]}"
    start = next(key for key, _ in spec.value if key.value == field).start_mark.index
    line_end = text.find("\n", _end(old))
    return text[:start] + new + ("" if line_end < 0 else text[line_end + 1 :])


def _value(mapping: Any, field: str) -> Any:
    """The node under a key, or None."""
    return next((node for key, node in mapping.value if key.value == field), None)


def _end(node: Any) -> int:
    """Where a node's text ends; a block's own mark lies behind the blank lines and comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)
