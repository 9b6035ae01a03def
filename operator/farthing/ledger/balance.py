"""Balances: a fold over spend records that does not depend on their order, nor on how often one is seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from farthing.api.amounts import METERED_AXES, Axis
from farthing.api.budget import AccountHold
from farthing.api.job_status import HoldStatus
from farthing.api.spend import SpendRecord
from farthing.domain.snapshot import Attempt
from farthing.ledger.arithmetic import ZERO, Amounts, plus, round_down
from farthing.ledger.charges import charge
from farthing.ledger.evidence import held_time
from farthing.ledger.report import newest_report
from farthing.units import parse_amount


@dataclass(frozen=True, slots=True)
class Balance:
    """What a job may still spend. `remaining` = limits − spent − held on each limited axis, rounded down, never below 0."""

    limits: Amounts
    spent: Amounts
    """Settled charges; on `tokens` the surviving lineage."""
    held: Amounts
    remaining: Amounts
    tokens_processed: Decimal = ZERO
    """Every token that any attempt trained on, replays included; only reported."""

    @property
    def lineage_tokens(self) -> int:
        """Tokens of the surviving lineage."""
        return int(self.spent.get(Axis.TOKENS, ZERO))


@dataclass(frozen=True, slots=True)
class SpentSoFar:
    """What an open attempt has spent at the least and at the most; for display, not for the books."""

    lower: Amounts
    upper: Amounts


def balance(limits: Amounts, records: Iterable[SpendRecord], holds: Iterable[HoldStatus | AccountHold] = ()) -> Balance:
    """Fold a job's spend records, and the holds that no record stands for yet, against its limits (by axis).

    An open record counts as held with everything that its lease set aside; a settled one with what it was charged. Seen twice,
    a record counts once, and settled outranks open: a stale copy changes nothing.
    """
    newest = _one_each(records)
    settled = [record for record in newest.values() if record.status.phase == "Settled"]
    pending = [record.spec.held.as_decimals() for record in newest.values() if record.status.phase == "Open"]
    unrecorded = {hold.attempt: hold.amounts.as_decimals() for hold in holds if hold.attempt not in newest}
    spent = _spent(settled)
    held = _sum([*pending, *unrecorded.values()])
    remaining = {axis: round_down(axis, limit - spent.get(axis, ZERO) - held.get(axis, ZERO)) for axis, limit in limits.items()}
    processed = sum((parse_amount(record.status.tokens_processed) for record in settled), ZERO)
    return Balance(limits, spent, held, remaining, processed)


def spent_so_far(attempt: Attempt, now: datetime) -> SpentSoFar:
    """The live figure of an open attempt: at the least what was reported, at the most what may have happened since.

    While a node of it is unreachable, that is everything that is held. A settled attempt has one figure: its charge.
    """
    record = attempt.record
    if record.status.phase == "Settled":
        charged = record.status.charged.as_decimals() if record.status.charged is not None else {}
        return SpentSoFar(charged, charged)
    held, report = held_time(attempt, now), newest_report(attempt)
    upper, _ = charge(attempt, held, report, finished=False)
    reported = Decimal(int(report.progress.flops)) if report.progress is not None else ZERO
    lower = {**upper, Axis.FLOPS: min(upper[Axis.FLOPS], reported)}
    if attempt.unreachable_nodes:
        upper = {**upper, **record.spec.held.as_decimals()}
    return SpentSoFar(lower, upper)


def _one_each(records: Iterable[SpendRecord]) -> dict[str, SpendRecord]:
    chosen: dict[str, SpendRecord] = {}
    for record in records:
        known = chosen.get(record.spec.attempt)
        if known is None or known.status.phase == "Open":
            chosen[record.spec.attempt] = record
    return chosen


def _spent(settled: list[SpendRecord]) -> dict[Axis, Decimal]:
    """Charges add up on every axis but tokens: there the newest attempt that knows its lineage speaks for all before it."""
    charges = [record.status.charged.as_decimals() for record in settled if record.status.charged is not None]
    total = _sum(charges)
    lineages = [(record.spec.number, parse_amount(told)) for record in settled if (told := record.status.lineage_tokens)]
    _, lineage = max(lineages, default=(0, ZERO))
    return {axis: total.get(axis, ZERO) for axis in METERED_AXES} | {Axis.TOKENS: lineage}


def _sum(amounts: Iterable[Amounts]) -> dict[Axis, Decimal]:
    total: dict[Axis, Decimal] = {}
    for amount in amounts:
        total = plus(total, amount)
    return total
