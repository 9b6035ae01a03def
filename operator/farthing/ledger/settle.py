"""Settlement: the final status of a spend record, from the evidence alone."""

from datetime import datetime, timedelta
from typing import Any, Final

from farthing.api.amounts import amounts
from farthing.api.spend import SpendRecordStatus
from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt
from farthing.ledger import quotes
from farthing.ledger.charges import charge
from farthing.ledger.evidence import HeldTime, held_time
from farthing.ledger.outcome import classify
from farthing.ledger.report import STARTING_PHASES, executed_flops, lineage_tokens, lost_steps, newest_report, waste
from farthing.units import format_time, format_whole, parse_time

MAX_MESSAGE: Final = 4096


def settlement(
    attempt: Attempt, *, now: datetime, acknowledged: bool, deleted: bool, lineage_before: int | None = None
) -> SpendRecordStatus:
    """The status that closes the bill: intervals by quote, charges on every axis, waste by cause, outcome.

    `now` is the operator's clock; `acknowledged` and `deleted` as in `classify`; `lineage_before` the surviving tokens before
    this attempt (`Balance.lineage_tokens` over the earlier records). Charges never exceed `record.spec.held`. An attempt that
    is settled already keeps its status. Asked again on the same evidence, the answer is the same but for `settledAt`.
    """
    record = attempt.record
    if record.status.phase == "Settled":
        return record.status
    held, report = held_time(attempt, now), newest_report(attempt)
    outcome, message, exit_code = classify(attempt, acknowledged=acknowledged, deleted=deleted, progress=report.progress)
    finished = outcome.finishes_stage
    charged, bound = charge(attempt, held, report, finished=finished, lineage_before=lineage_before)
    flops, _ = executed_flops(attempt, report, held)
    return SpendRecordStatus(
        phase="Settled",
        quotes=record.status.quotes,
        intervals=quotes.intervals(record, held.start, held.seconds, estimated=held.estimated),
        charged=amounts(charged),
        outcome=outcome.value,
        message=_message(message, held, bound),
        exit_code=exit_code,
        flops=format_whole(flops),
        estimated=held.estimated or bound,
        waste=waste(report.progress, held),
        settled_at=format_time(now),
        **_times(held, report.progress),
        **_work(report.progress, finished=finished, trains=record.spec.stage == "Train"),
    )


def _message(message: str, held: HeldTime, bound: bool) -> str:
    """What happened, then whatever about the bill is not measured."""
    parts = [message]
    if held.estimated:
        parts.append(f"held time is an upper bound: {held.why}")
    if held.overrun_seconds:
        parts.append(f"{held.overrun_seconds} s past the hard end are borne by the pool")
    if bound:
        parts.append("FLOPs are an upper bound: no last word was left")
    return "; ".join(parts)[:MAX_MESSAGE]


def _times(held: HeldTime, progress: Progress | None) -> dict[str, Any]:
    """When it was bound, ready and over; nothing where no pod was ever bound."""
    if not held.seconds:
        return {}
    return {
        "started_at": format_time(held.start),
        "ready_at": _ready_at(progress),
        "ended_at": format_time(held.end),
    }


def _ready_at(progress: Progress | None) -> str | None:
    """The first training step, or the first progress of the prepare stage: when the start-up ended."""
    if progress is None or progress.phase in STARTING_PHASES:
        return None
    return format_time(parse_time(progress.started) + timedelta(seconds=progress.seconds.startup))


def _work(progress: Progress | None, *, finished: bool, trains: bool) -> dict[str, Any]:
    """Steps, tokens and measurements, as far as the trainer told."""
    if progress is None:
        return {}
    return {
        "first_step": progress.first_step,
        "last_step": progress.step if trains else None,
        "resumed_from": progress.resumed_from,
        "lost_steps": lost_steps(progress, finished=finished),
        "tokens_processed": str(progress.tokens_processed),
        "lineage_tokens": str(lineage_tokens(progress, finished=finished)) if trains else None,
        "peak_memory": None if progress.memory is None else str(progress.memory.peak),
        "tokens_per_second": _number(progress.tokens_per_second),
        "validation_loss": _number(progress.validation_loss),
        "checkpoint_seconds": None if progress.checkpoint is None else _number(progress.checkpoint.seconds),
    }


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
