"""What attempts were measured to do, for the planner: from settled records, and from the reports of those that run."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from farthing.api import GPUNodePool
from farthing.api.amounts import Axis
from farthing.api.job import BudgetedTrainingJobSpec
from farthing.contract.names import uid_hash
from farthing.contract.progress import Progress
from farthing.contract.runconfig import RunConfig
from farthing.contract.shape import SUPPORTED_MODEL_TYPES
from farthing.domain.plan import Plan
from farthing.domain.planning import Measurement, PlanRequest
from farthing.domain.snapshot import Attempt, JobView, Snapshot
from farthing.engine.opening import ANNOTATION_PLAN, ANNOTATION_RUN_CONFIG, plan_of, read_plan
from farthing.errors import UserError
from farthing.ledger.report import STARTING_PHASES
from farthing.planner.corrections import formulas_alone
from farthing.planner.learning import KEPT
from farthing.planner.request import plan_request
from farthing.units import parse_amount, parse_time

NEWEST: Final = 64
"""Measurements of all jobs together that a plan is corrected by: enough for a dozen triples, and solved in a millisecond."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What settled train attempts measured, oldest first: of every job by its UID, and the newest of all jobs together."""

    by_job: Mapping[str, tuple[Measurement, ...]]
    newest: tuple[Measurement, ...]

    def for_job(self, uid: str, namespace: str) -> tuple[Measurement, ...]:
        """What a job's plan is corrected by: its own newest, and the newest of all. Those of other namespaces have no names."""
        own = self.by_job.get(uid, ())
        found = sorted(dict.fromkeys((*own[-KEPT:], *self.newest)), key=_age)
        return tuple(_seen_from(namespace, each) for each in found)


def measurements(snapshot: Snapshot) -> Measurements:
    """From the bills of settled train attempts that measured anything, those of deleted jobs included.

    The bills are the memory: they hold what was run and what was measured, outlive their jobs, and nothing else is stored.
    Running attempts are left out until they have settled, so that the questions to the planner stay the same meanwhile.
    """
    pools = {view.name: json.dumps(view.pool.spec.to_dict(), sort_keys=True) for view in snapshot.pools}
    configs = {view.job.metadata.uid: _pretrained_config(view) for view in snapshot.jobs}
    by_job: defaultdict[str, list[Measurement]] = defaultdict(list)
    for attempt in (*(each for view in snapshot.jobs for each in view.attempts), *snapshot.orphans, *snapshot.history):
        owner, pool = attempt.record.spec.job.uid, pools.get(attempt.record.spec.pool, "")
        found = None if attempt.open else _of_record(attempt, pool, configs.get(owner, ""))
        by_job[owner].extend([] if found is None else [found])
    everything = sorted((each for found in by_job.values() for each in found), key=_age)
    return Measurements({uid: tuple(found) for uid, found in by_job.items()}, tuple(everything[-NEWEST:]))


def _seen_from(namespace: str, measured: Measurement) -> Measurement:
    if measured.origin.startswith(f"{namespace}/"):
        return measured
    return replace(measured, origin=f"another namespace ({uid_hash(measured.origin)})")


def _age(measured: Measurement) -> tuple[str, str]:
    return measured.measured_at, measured.origin


def _of_record(attempt: Attempt, pool: str, pretrained: str) -> Measurement | None:
    record, status = attempt.record, attempt.record.status
    if record.spec.stage != "Train" or status.tokens_per_second is None:
        return None
    plan = plan_of(record)
    if plan is None:
        return None
    texts = (record.metadata.annotations.get(name, "") for name in (ANNOTATION_PLAN, ANNOTATION_RUN_CONFIG))
    said = _in_hindsight(*texts, pool, pretrained)
    return Measurement(
        pool=record.spec.pool,
        accelerator=record.spec.accelerator,
        strategy=plan.strategy.signature,
        accelerators=plan.allocation.accelerators,
        tokens_per_second=_number(status.tokens_per_second),
        peak_memory_bytes=_number(status.peak_memory),
        startup_seconds=_startup(attempt),
        checkpoint_seconds=_save_seconds(attempt),
        family=said.family,
        flops_per_token=plan.flops_per_token,
        predicted_tokens_per_second=said.tokens_per_second,
        predicted_sigma=said.sigma,
        predicted_memory_bytes=said.memory_bytes,
        origin=f"{record.metadata.namespace}/{record.spec.job.name} attempt {record.spec.number}",
        measured_at=status.settled_at or "",
    )


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What the formulas alone say of a plan that has run; None where it cannot be told any more."""

    family: str = ""
    tokens_per_second: float | None = None
    sigma: float | None = None
    memory_bytes: float | None = None


@lru_cache(maxsize=4096)
def _in_hindsight(plan: str, config: str, pool: str, pretrained: str) -> Hindsight:
    """By today's formulas and the pool's rate of today, so that neither an old release nor a correction is learnt against.

    plan, config: the annotations of the record; pool: the pool's spec, pretrained: the config.json of given weights, as JSON;
    empty where there is none any more. Texts, because the same records are looked at in every cycle.
    """
    if not (plan and config and pool):
        return Hindsight()
    ran, told = read_plan(plan), RunConfig.model_validate_json(config)
    try:
        request = _question(ran, told, json.loads(pool), json.loads(pretrained or "null"))
        draft = formulas_alone(request, ran.allocation, ran.strategy)
    except (UserError, ValueError):  # a pool or model that this release would not plan for
        return Hindsight()
    family = str((told.model.config or json.loads(pretrained or "{}")).get("model_type", SUPPORTED_MODEL_TYPES[0]))
    if draft is None:
        return Hindsight(family)
    return Hindsight(family, draft.tokens_per_second, draft.sigma, draft.memory.expected_bytes)


def _question(plan: Plan, config: RunConfig, pool: dict[str, Any], pretrained: dict[str, Any] | None) -> PlanRequest:
    """The question that this plan answered, as far as the formulas look at it. Raises UserError, ValueError."""
    model: dict[str, Any] = {"config": config.model.config, "adapter": config.model.adapter}
    if config.model.config is None:
        model = {"pretrained": {"uri": config.model.pretrained_uri, "config": pretrained}, "adapter": config.model.adapter}
    lora, gang = config.model.lora, plan.allocation
    spec = BudgetedTrainingJobSpec.model_validate(
        {
            "model": {**model, "lora": {"rank": lora.rank, "targetModules": list(lora.target_modules)}},
            "data": {"train": {"uri": config.data.train.uri}, "sequenceLength": config.data.sequence_length},
            "training": {"globalBatchSize": config.batch.global_batch},
            "budget": {"limits": {}},
            "checkpoint": {"storage": {"uri": config.checkpoint.uri}},
        }
    )
    roomy = {**pool, "maxNodes": max(pool.get("maxNodes", 0), gang.pods)}
    offer = GPUNodePool.model_validate({"metadata": {"name": gang.pool}, "spec": roomy})
    return plan_request(spec, [offer], remaining={}, seconds_left=None)


def _pretrained_config(view: JobView) -> str:
    """The config.json of the weights that a job starts from: its run config has only their address."""
    given = view.job.spec.model.pretrained
    return "" if given is None or given.config is None else json.dumps(given.config, sort_keys=True)


def measured(progress: Progress | None) -> dict[str, float]:
    """Measured values by the name of the prediction that they stand beside, as far as the report has them."""
    if progress is None:
        return {}
    values = {
        "memory": None if progress.memory is None else progress.memory.peak,
        "tokensPerSecond": progress.tokens_per_second,
        "stepSeconds": progress.step_seconds,
        "checkpointSeconds": None if progress.checkpoint is None else progress.checkpoint.seconds,
        "startupSeconds": progress.seconds.startup or None,
        "loss": progress.validation_loss,
        "tokens": progress.tokens or None,
        "flops": progress.flops or None,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def measured_in_all(view: JobView, plan: Plan) -> dict[str, float]:
    """What the settled train attempts of a job came to, by the name of the prediction; per-step values from the newest one."""
    settled = [each for each in view.attempts if not each.open and each.record.spec.stage == "Train"]
    if not settled or plan_of(settled[-1].record) != plan:
        return {}
    newest = settled[-1].record.status
    charged = [each.record.status.charged.as_decimals() for each in settled if each.record.status.charged is not None]
    values = {
        "memory": _number(newest.peak_memory),
        "tokensPerSecond": _number(newest.tokens_per_second),
        "startupSeconds": _startup(settled[-1]),
        "checkpointSeconds": _number(newest.checkpoint_seconds),
        "loss": _number(newest.validation_loss),
        "tokens": _number(newest.lineage_tokens),
        "cost": float(sum(each[Axis.COST] for each in charged if Axis.COST in each)) or None,
        "seconds": float(sum(interval.seconds for each in settled for interval in each.record.status.intervals)) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def startup_seconds(view: JobView) -> float | None:
    """Bound to first step, of the newest train attempt that made one; prepare starts without torch and says nothing."""
    for attempt in reversed(view.attempts):
        if attempt.record.spec.stage == "Train" and (seconds := _startup(attempt) or _running_startup(attempt)) is not None:
            return seconds
    return None


def _running_startup(attempt: Attempt) -> float | None:
    """The same of an attempt that still runs: from its first bind to its trainer's first step, as its report has it."""
    bound, progress = attempt.first_bound_at, attempt.progress
    if bound is None or progress is None or progress.phase in STARTING_PHASES:
        return None
    return max(0.0, (parse_time(progress.started) - bound).total_seconds()) + progress.seconds.startup


def _startup(attempt: Attempt) -> float | None:
    status = attempt.record.status
    if status.started_at is None or status.ready_at is None:
        return None
    return (parse_time(status.ready_at) - parse_time(status.started_at)).total_seconds()


def _save_seconds(attempt: Attempt) -> float | None:
    """As the trainer reports it, as long as it is no longer than the attempt itself by the API server's clock."""
    seconds, status = _number(attempt.record.status.checkpoint_seconds), attempt.record.status
    if seconds is None or status.started_at is None or status.ended_at is None:
        return None
    return seconds if seconds <= (parse_time(status.ended_at) - parse_time(status.started_at)).total_seconds() else None


def _number(text: str | None) -> float | None:
    return None if text is None else float(parse_amount(text))
