"""Where a job stands in its books: what is left, what was learnt, what is wrong, and whether it has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from farthing.api import GPUNodePool, SpendRecord
from farthing.api.amounts import METERED_AXES
from farthing.api.base import LabelSelector
from farthing.api.conditions import ConditionType as Type
from farthing.api.conditions import Reason, find
from farthing.contract.names import attempt_name
from farthing.contract.runconfig import LEAST_VOCABULARY, Stage
from farthing.domain.decision import Because
from farthing.domain.outcome import Outcome
from farthing.domain.snapshot import Attempt, JobView, Snapshot
from farthing.engine.lifecycle import State
from farthing.engine.opening import generation_of
from farthing.engine.raises import landed, raised_since
from farthing.engine.situations import Ending
from farthing.ledger.balance import Balance, balance
from farthing.ledger.retries import RetryDecision, memory_steps, retry
from farthing.units import parse_amount, parse_time

OWN_MOUNTS = ("/etc/farthing", "/checkpoints", "/dev/shm")  # noqa: S108 - paths inside the pods
"""Paths in the pods that are Farthing's own."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The books of one job. `tokens_done`: the surviving lineage; `seconds_left`: to the deadline, None without one."""

    balance: Balance
    retry: RetryDecision
    memory_steps: int
    tokens_done: int
    prepared: SpendRecord | None
    """The prepare attempt whose product is used."""
    next_number: int
    seconds_left: float | None

    @property
    def stage(self) -> Stage:
        """What the next attempt does."""
        return "Prepare" if self.prepared is None else "Train"


def standing(view: JobView, now: datetime) -> Standing:
    """The books of a job, from its spend records alone."""
    records = [attempt.record for attempt in view.attempts]
    name = next_attempt_name(view)
    holds = [hold for hold in view.job.status.holds if hold.attempt != name]
    deadline = view.job.spec.budget.deadline
    return Standing(
        balance=balance(view.job.spec.budget.limits.as_decimals(), records, holds),
        retry=retry(records, view.job.spec.backoff_limit),
        memory_steps=memory_steps(records),
        tokens_done=_tokens_done(records),
        prepared=next((each for each in reversed(records) if each.status.outcome == Outcome.PREPARED), None),
        next_number=next_number(view.attempts),
        seconds_left=None if deadline is None else (parse_time(deadline) - now).total_seconds(),
    )


def next_number(attempts: Sequence[Attempt]) -> int:
    """1 + the highest number there is; the POST of the record finds out whether that was the newest."""
    return 1 + max((attempt.record.spec.number for attempt in attempts), default=0)


def next_attempt_name(view: JobView) -> str:
    """Name of the attempt that would be opened next."""
    meta = view.job.metadata
    return attempt_name(meta.name, meta.uid, next_number(view.attempts))


def _tokens_done(records: Sequence[SpendRecord]) -> int:
    newest = next((each for each in reversed(records) if each.status.lineage_tokens is not None), None)
    return 0 if newest is None else int(parse_amount(newest.status.lineage_tokens or "0"))


def ending_of(view: JobView, books: Standing, exhausted: Because | None) -> Ending | None:
    """Whether the job wants no further attempt. `exhausted`: no lease that is worth anything can be granted any more."""
    done = landed([attempt.record for attempt in view.attempts])
    if done is not None and (exhausted is not None or not raised_since(done, view, books.balance)):
        return Ending(State.COMPLETE, Because(Reason.LANDED, "the run landed inside its budget"))
    limit = view.job.spec.backoff_limit
    if books.retry.failures > limit:
        last = next((each.record.status.message for each in reversed(view.attempts) if each.record.status.outcome), "")
        message = f"{books.retry.failures} failed attempts, backoffLimit is {limit}; the last one: {last}"
        return Ending(State.FAILED, Because(Reason.BACKOFF_LIMIT_EXCEEDED, message, {"failures": str(books.retry.failures)}))
    if books.seconds_left is not None and books.seconds_left <= 0:
        message = f"budget.deadline {view.job.spec.budget.deadline} has passed before the run landed"
        return Ending(State.FAILED, Because(Reason.DEADLINE_EXCEEDED, message))
    if exhausted is not None and view.attempts:
        stops = view.job.spec.budget.on_exhausted == "CheckpointAndStop" and books.tokens_done > 0
        return Ending(State.COMPLETE if stops else State.FAILED, exhausted)
    return None


def problem_of(view: JobView, snapshot: Snapshot) -> Because | None:
    """What keeps the job from being obeyed as written; None when nothing does. Mended input mends it: nothing is remembered."""
    if view.problems:
        reason, message = view.problems[0]
        return Because(reason, message)
    written = _unmetered(view, snapshot) or _selection(view) or _template(view) or _vocabulary(view)
    return written or _bad_config(view) or _pools(view, snapshot)


def usable_pools(view: JobView, snapshot: Snapshot) -> tuple[GPUNodePool, ...]:
    """Pools that the job's namespace may use; the planner selects among them and says what is wrong with them."""
    labels = snapshot.namespace_labels.get(view.namespace, {})
    return tuple(pool.pool for pool in snapshot.pools if _admits(pool.pool.spec.namespace_selector, labels))


def refused(view: JobView) -> tuple[datetime, str] | None:
    """When the API server last refused this generation of the job, and its text; None where it did not."""
    stalled = find(view.job.status.conditions, Type.STALLED)
    if stalled is None or stalled.status != "True" or stalled.reason != Reason.REFUSED:
        return None
    if stalled.observed_generation != view.job.metadata.generation:
        return None
    times = [entry.time for entry in view.job.status.decisions if entry.reason == Reason.REFUSED]
    return parse_time(times[-1] if times else stalled.last_transition_time), stalled.message


def _admits(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Absent: no namespace may use the pool."""
    return selector is not None and selector.matches(dict(labels))


def _unmetered(view: JobView, snapshot: Snapshot) -> Because | None:
    """A limit of the job, or of its account, that nobody could keep."""
    budget = view.job.spec.budget
    account = None if budget.account_ref is None else snapshot.account(view.namespace, budget.account_ref.name)
    limits = {"budget.limits": budget.limits}
    if account is not None:
        limits[f"account {account.metadata.name}: spec.limits"] = account.spec.limits
    for where, limit in limits.items():
        for axis in limit.as_decimals():
            if axis not in METERED_AXES:
                message = f"{where}.{axis}: nothing on this cluster can meter {axis} yet; use cost or acceleratorHours"
                return Because(Reason.UNMETERED_AXIS, message)
    return None


def _selection(view: JobView) -> Because | None:
    mode = view.job.spec.data.selection.mode
    if mode == "None":
        return None
    return Because(Reason.INVALID_SPEC, f"data.selection.mode: {mode} cannot be run yet; leave it out, or use None")


def _template(view: JobView) -> Because | None:
    for mount in view.job.spec.template.volume_mounts:
        if any(mount.mount_path == own or mount.mount_path.startswith(f"{own}/") for own in OWN_MOUNTS):
            message = f"template.volumeMounts: {mount.mount_path} is Farthing's own; mount {mount.name} elsewhere"
            return Because(Reason.INVALID_SPEC, message)
    return None


def _vocabulary(view: JobView) -> Because | None:
    """A tokenizer that is trained for the model has at least the 256 bytes and one entry more."""
    spec = view.job.spec
    size = (spec.model.config or {}).get("vocab_size")
    if spec.data.tokenizer is not None or not isinstance(size, int) or size >= LEAST_VOCABULARY:
        return None
    remedy = f"a byte-level BPE has at least {LEAST_VOCABULARY} entries; enlarge it, or name a tokenizer in data.tokenizer.uri"
    return Because(Reason.INVALID_SPEC, f"model.config.vocab_size: {size} is too small: {remedy}")


def _bad_config(view: JobView) -> Because | None:
    """64 is never retried until the spec changes (DESIGN 5); suspending and resuming is such a change."""
    settled = [attempt.record for attempt in view.attempts if not attempt.open]
    if not settled or settled[-1].status.outcome != Outcome.BAD_CONFIG:
        return None
    if generation_of(settled[-1]) != view.job.metadata.generation:
        return None
    message = settled[-1].status.message or "the trainer could not use the run config or the data"
    again = "change the spec, or mend the data and suspend and resume the job, to try again"
    return Because(Reason.BAD_CONFIG, f"{message} (attempt {settled[-1].spec.attempt}; {again})")


def _pools(view: JobView, snapshot: Snapshot) -> Because | None:
    usable = usable_pools(view, snapshot)
    if not usable:
        return Because(Reason.NO_POOL, _no_pool(view, snapshot))
    selected = [pool for pool in usable if view.job.spec.compute.pool_selector.matches(pool.metadata.labels)]
    fewest = view.job.spec.compute.accelerators.min
    largest = max((pool.spec.max_nodes * pool.spec.accelerators_per_node for pool in selected), default=fewest)
    if fewest > largest:
        message = (
            f"compute.accelerators.min: {fewest} accelerators never fit: the largest pool that may be used can have {largest};"
            " lower min, or raise maxNodes of a GPUNodePool"
        )
        return Because(Reason.NEVER_FITS, message, {"min": str(fewest), "largest": str(largest)})
    return None


def _no_pool(view: JobView, snapshot: Snapshot) -> str:
    if not snapshot.pools:
        return "there is no GPUNodePool; create one"
    names = ", ".join(pool.name for pool in snapshot.pools)
    return f"namespace {view.namespace} may use none of the pools {names}: let their namespaceSelector match its labels"
