"""Everything that must have happened for the demo to have succeeded: one function a condition, all in `judge`."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from farthing.cli.demo.result import AttemptResult, ConditionResult, JobResult, SampleResult
from farthing.cli.demo.setting import CHECKPOINTS_FIRST, LOSS_BOUND, PATIENT, URGENT
from farthing.domain.outcome import Outcome
from farthing.units import parse_time

STOPPED, LANDED = Outcome.STOPPED, Outcome.LANDED


def judge(jobs: Mapping[str, JobResult], sample: SampleResult | None, leftovers: Sequence[str]) -> list[ConditionResult]:
    """The conditions in the order of the story. `leftovers` are children of attempts that still exist."""
    patient, urgent = jobs[PATIENT], jobs[URGENT]
    return [
        _complete(patient),
        _complete(urgent),
        _within_limit(patient),
        _within_limit(urgent),
        _bills_settled(patient),
        _bills_settled(urgent),
        _checkpoints_before_the_interruption(patient),
        _stopped_by_the_handshake(patient),
        _urgent_ran_in_between(patient, urgent),
        _resumed_where_it_was(patient),
        _no_step_lost(patient),
        _no_step_lost(urgent),
        _landed(patient),
        _landed(urgent),
        _loss_below_bound(patient),
        _weights_load(sample),
        _nothing_left_behind(leftovers),
    ]


def _complete(job: JobResult) -> ConditionResult:
    return _so(f"{job.name} is complete", job.state == "Complete", job.state or "no state")


def _within_limit(job: JobResult) -> ConditionResult:
    """By the status, and for money and hours by the records' own sum, too."""
    over, shown = [], []
    for axis, limit in job.limit.items():
        spent = max(Decimal(job.spent.get(axis, "0")), billed(job, axis))
        shown.append(f"{axis} {spent} of {limit}")
        over += [axis] if spent > Decimal(limit) else []
    return _so(f"{job.name} spent no more than its limit", not over and axis_seen(job), ", ".join(shown))


def axis_seen(job: JobResult) -> bool:
    """Whether every limited axis was metered: a bill of nothing is no proof of having kept to a limit."""
    return all(Decimal(job.spent.get(axis, "0")) > 0 for axis in job.limit)


def billed(job: JobResult, axis: str) -> Decimal:
    """The sum of the records' charges on an axis; tokens are no sum: the newest lineage that a record knows."""
    statuses = [record["status"] for record in job.spend_records]
    if axis == "tokens":
        return Decimal(next((told for status in reversed(statuses) if (told := status.get("lineageTokens"))), "0"))
    return sum((Decimal(status.get("charged", {}).get(axis, "0")) for status in statuses), Decimal(0))


def _bills_settled(job: JobResult) -> ConditionResult:
    phases = [record["status"].get("phase", "Open") for record in job.spend_records]
    settled = bool(phases) and all(phase == "Settled" for phase in phases)
    return _so(f"every bill of {job.name} is settled", settled, f"{len(phases)} records: {', '.join(phases)}")


def _checkpoints_before_the_interruption(job: JobResult) -> ConditionResult:
    stopped = _first(job, STOPPED)
    before = [point for point in job.checkpoints if stopped and stopped.last_step and point.step <= stopped.last_step]
    detail = f"steps {', '.join(str(point.step) for point in before) or 'none'}"
    return _so(f"{job.name} had {CHECKPOINTS_FIRST} durable checkpoints first", len(before) >= CHECKPOINTS_FIRST, detail)


def _stopped_by_the_handshake(job: JobResult) -> ConditionResult:
    """Stopped means: left with 143 after an acknowledged checkpoint; its step must be a durable one."""
    stopped = _first(job, STOPPED)
    durable = {point.step for point in job.checkpoints}
    holds = stopped is not None and stopped.last_step in durable
    return _so(f"{job.name} was stopped by the handshake", holds, _told(stopped))


def _urgent_ran_in_between(patient: JobResult, urgent: JobResult) -> ConditionResult:
    stopped, resumed = _first(patient, STOPPED), _after(patient, STOPPED)
    ran = [attempt for attempt in urgent.attempts if attempt.stage == "Train"]
    name = f"{urgent.name} trained while {patient.name} was stopped"
    if stopped is None or resumed is None or not ran or not (stopped.to and resumed.from_time):
        return _so(name, False, "the three attempts are not all there")
    inside = all(
        attempt.from_time and attempt.to
        and parse_time(stopped.to) <= parse_time(attempt.to)
        and parse_time(attempt.from_time) <= parse_time(resumed.from_time)
        for attempt in ran
    )  # fmt: skip
    return _so(name, inside, f"{stopped.to} … {ran[0].from_time} – {ran[-1].to} … {resumed.from_time}")


def _resumed_where_it_was(job: JobResult) -> ConditionResult:
    stopped, resumed = _first(job, STOPPED), _after(job, STOPPED)
    holds = stopped is not None and resumed is not None and resumed.resumed_from == stopped.last_step
    return _so(f"{job.name} resumed where it was", holds, f"{_told(stopped)}; then {_told(resumed)}")


def _no_step_lost(job: JobResult) -> ConditionResult:
    lost = sum(attempt.lost_steps for attempt in job.attempts)
    return _so(f"{job.name} lost no step", lost == 0 and bool(job.attempts), f"{lost} in {len(job.attempts)} attempts")


def _landed(job: JobResult) -> ConditionResult:
    last = job.attempts[-1] if job.attempts else None
    return _so(f"{job.name} landed", last is not None and last.why_ended == LANDED, _told(last))


def _loss_below_bound(job: JobResult) -> ConditionResult:
    loss = job.validation_loss
    detail = f"{loss} nats a token, bound {LOSS_BOUND}, {job.bits_per_byte} bits a byte"
    return _so(f"{job.name} learned", loss is not None and 0 < loss < LOSS_BOUND, detail)


def _weights_load(sample: SampleResult | None) -> ConditionResult:
    detail = "no sample" if sample is None else f"{len(sample.text)} characters generated"
    return _so("transformers loads the weights and generates", sample is not None and bool(sample.text.strip()), detail)


def _nothing_left_behind(leftovers: Sequence[str]) -> ConditionResult:
    return _so("no attempt left anything behind", not leftovers, ", ".join(leftovers) or "nothing")


def _so(name: str, holds: bool, detail: str) -> ConditionResult:
    return ConditionResult(name=name, holds=holds, detail=detail)


def _first(job: JobResult, outcome: str) -> AttemptResult | None:
    return next((attempt for attempt in job.attempts if attempt.why_ended == outcome), None)


def _after(job: JobResult, outcome: str) -> AttemptResult | None:
    """The attempt that follows the first one with that outcome."""
    endings = [attempt.why_ended for attempt in job.attempts]
    position = endings.index(outcome) + 1 if outcome in endings else len(endings)
    return job.attempts[position] if position < len(job.attempts) else None


def _told(attempt: AttemptResult | None) -> str:
    if attempt is None:
        return "no such attempt"
    return f"{attempt.name} {attempt.why_ended}, steps {attempt.first_step}–{attempt.last_step}, from {attempt.resumed_from}"
