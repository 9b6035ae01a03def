"""What the trainer said of itself, and what to assume where its last word is missing."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Final

from farthing.api.spend import SpendRecordSpec, WasteStatus
from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt
from farthing.ledger.arithmetic import ZERO
from farthing.ledger.evidence import HeldTime, container_ran
from farthing.units import parse_amount, parse_time

STARTING_PHASES: Final = frozenset({"Starting", "Loading"})


@dataclass(frozen=True, slots=True)
class Report:
    """The newest report of an attempt. `last`: it is the last word, so nothing was executed after it."""

    progress: Progress | None
    at: datetime | None
    last: bool


def newest_report(attempt: Attempt) -> Report:
    """The last word's report; else the newest one that was scraped, with the operator's time of it; else nothing."""
    word = attempt.last_word
    if word is not None and word.progress is not None and word.progress.attempt == attempt.name:
        return Report(word.progress, None, True)
    if attempt.progress is not None and attempt.progress.attempt == attempt.name:
        return Report(attempt.progress, attempt.progress_at, False)
    return Report(None, None, False)


def executed_flops(attempt: Attempt, report: Report, held: HeldTime) -> tuple[Decimal, bool]:
    """FLOPs that the attempt executed, and whether they are a bound (DESIGN 4, "Evidence").

    Without a last word: last report + peak × accelerators × seconds since, never above the lease. The prepare stage runs no
    model, and a gang none of whose containers started ran nothing: 0.
    """
    reported = Decimal(report.progress.flops).to_integral_value(ROUND_CEILING) if report.progress is not None else ZERO
    spec = attempt.record.spec
    if report.last or spec.stage == "Prepare" or not _may_have_run(attempt, report):
        return reported, False
    lease = parse_amount(spec.flops_lease) if spec.flops_lease is not None else None
    if spec.peak_flops_per_second is None:
        return (reported if lease is None else lease), True
    bound = reported + parse_amount(spec.peak_flops_per_second) * accelerators(spec) * _seconds_since(report, held)
    return (bound if lease is None else min(bound, lease)), True


def lineage_tokens(progress: Progress, *, finished: bool) -> int:
    """Tokens of the surviving lineage: those of the newest manifest; all of them where the run is finished."""
    if finished:
        return progress.tokens
    return progress.checkpoint.tokens if progress.checkpoint is not None else inherited_tokens(progress)


def inherited_tokens(progress: Progress) -> int:
    """Tokens of the lineage that this attempt resumed from."""
    return max(0, progress.tokens - progress.tokens_processed)


def lost_steps(progress: Progress, *, finished: bool) -> int:
    """Steps made after the newest durable checkpoint: the next attempt makes them again."""
    if finished:
        return 0
    durable = progress.checkpoint.step if progress.checkpoint is not None else progress.resumed_from or 0
    return max(0, progress.step - durable)


def waste(progress: Progress | None, held: HeldTime) -> WasteStatus:
    """Held seconds that trained nothing, by cause. Without a report all of them are start-up.

    Start-up counts from the bind: scheduling and pulling the image come before the supervisor's own clock. What no cause
    accounts for is idle. The causes, training and preparing together are the held seconds, but for clocks that disagree.
    """
    if progress is None:
        return WasteStatus(startup=_text(held.seconds))
    causes = progress.seconds
    startup = max(0.0, (parse_time(progress.started) - held.start).total_seconds()) + causes.startup
    busy = causes.prepare + causes.train + causes.replay + causes.checkpoint + causes.evaluation
    return WasteStatus(
        startup=_text(min(startup, held.seconds)),
        checkpoint=_text(causes.checkpoint),
        replay=_text(causes.replay),
        evaluation=_text(causes.evaluation),
        idle=_text(max(0.0, held.seconds - startup - busy)),
    )


def accelerators(spec: SpendRecordSpec) -> int:
    """Accelerators of the gang."""
    return spec.pods * spec.accelerators_per_pod


def _may_have_run(attempt: Attempt, report: Report) -> bool:
    return report.progress is not None or not attempt.pods or any(container_ran(pod) for pod in attempt.pods)


def _seconds_since(report: Report, held: HeldTime) -> int:
    """Whole seconds from the last report to the end, rounded up; without a report, all that was held."""
    if report.at is None:
        return held.seconds
    since = (held.end - report.at).total_seconds()
    return min(held.seconds, max(0, int(-(-since // 1))))


def _text(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0")
