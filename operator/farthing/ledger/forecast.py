"""Where an attempt is heading: how fast it spends, when it will end, and whether its budget is at risk."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.api.conditions import Reason
from farthing.domain.snapshot import Attempt
from farthing.ledger import quotes
from farthing.ledger.evidence import held_time
from farthing.ledger.report import accelerators, newest_report
from farthing.units import SECONDS_PER_HOUR, format_duration, parse_amount

FAR_AWAY = 1e9
"""Seconds, some thirty years: what a slow trainer says beyond it moves no date."""


@dataclass(frozen=True, slots=True)
class Risk:
    """Why a budget is at risk: a reason of `api.conditions.Reason`, a sentence, the numbers behind it."""

    reason: Reason
    message: str
    numbers: Mapping[str, str]


def burn_rate(attempt: Attempt, now: datetime) -> dict[Axis, Decimal]:
    """What the attempt spends per hour on each axis at this moment; empty where no pod is bound.

    Money at the quote in force; FLOPs and tokens from the trainer's report, absent before it has one.
    """
    held, report = held_time(attempt, now), newest_report(attempt)
    if not held.seconds:
        return {}
    gang = accelerators(attempt.record.spec)
    rate = {Axis.ACCELERATOR_HOURS: Decimal(gang)}
    quote = [leg for leg in quotes.legs(attempt.record, held.start) if leg.second <= held.seconds][-1].quote
    if quote.per_accelerator_hour is not None:
        rate[Axis.COST] = parse_amount(quote.per_accelerator_hour) * gang
    progress = report.progress
    if progress is not None and progress.tokens_per_second is not None:
        rate[Axis.TOKENS] = Decimal(round(progress.tokens_per_second * SECONDS_PER_HOUR))
        if progress.tokens_processed:
            per_token = progress.flops / progress.tokens_processed
            rate[Axis.FLOPS] = Decimal(round(progress.tokens_per_second * SECONDS_PER_HOUR * per_token))
    return rate


def projected_end(attempt: Attempt, now: datetime) -> datetime | None:
    """When it is expected to end: the trainer's own estimate, at the latest the lease's end; None before a bind."""
    held = held_time(attempt, now)
    if not held.seconds:
        return None
    lease_end = held.start + timedelta(seconds=quotes.reserve_second(attempt.record, held.start))
    progress = newest_report(attempt).progress
    if progress is None or progress.eta_seconds is None:
        return lease_end
    return min(lease_end, (attempt.progress_at or now) + timedelta(seconds=min(progress.eta_seconds, FAR_AWAY)))


def budget_at_risk(attempt: Attempt, now: datetime) -> Risk | None:
    """Whether a running attempt threatens its budget, and why; None where all is well.

    Two ways: a node of it cannot be reached, so that nobody can say whether it still runs; or it outlived its pods' end, so
    that kubelet and supervisor have both failed. A slow run is no risk: it lands earlier.
    """
    if not attempt.open or not attempt.running:
        return None
    held, ends = held_time(attempt, now), attempt.record.spec.ends
    numbers = {"heldSeconds": str(held.seconds), "podEnd": str(ends.pod), "hardEnd": str(ends.hard)}
    if attempt.unreachable_nodes:
        nodes = ", ".join(attempt.unreachable_nodes)
        left = format_duration(max(0, ends.hard - held.seconds))
        message = f"node {nodes} cannot be reached: the hold goes on, and its hard end comes in {left}"
        return Risk(Reason.NODE_UNREACHABLE, message, numbers | {"overrunSeconds": str(held.overrun_seconds)})
    late = held.seconds + held.overrun_seconds - ends.pod - ends.grace
    if late <= 0:
        return None
    message = f"still running {late} s after its pods' end and grace: kubelet and supervisor failed together"
    return Risk(Reason.DEADLINE_EXCEEDED, message, numbers | {"lateSeconds": str(late)})
