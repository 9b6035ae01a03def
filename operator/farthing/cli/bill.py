"""The bill of a job, from its spend records: what each attempt cost, and what of it trained nothing that survived."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.table import Table

from farthing.api import SpendRecord
from farthing.api.amounts import Axis
from farthing.cli.output import plain_table
from farthing.cli.tables import NONE, steps_text
from farthing.ledger.balance import balance
from farthing.units import format_count, format_duration

CAUSES = ("startup", "checkpoint", "replay", "evaluation", "idle")
"""Where held time goes beside training, as the records name it."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """One attempt: held seconds, charges, and seconds by cause that trained nothing that survived."""

    attempt: str
    stage: str
    seconds: int
    charged: dict[Axis, Decimal]
    waste: dict[str, float]
    steps: str
    outcome: str
    estimated: bool


def bill_lines(records: Sequence[SpendRecord]) -> list[BillLine]:
    """One line a record, by attempt number."""
    return [_line(record) for record in sorted(records, key=lambda record: (record.spec.job.uid, record.spec.number))]


def total(records: Sequence[SpendRecord]) -> dict[Axis, Decimal]:
    """What the settled records come to, by the ledger's own fold: on `tokens` the surviving lineage, which is no sum."""
    return dict(balance({}, records).spent)


def bill_table(records: Sequence[SpendRecord], title: str | None = None) -> Table:
    """The bill for people, with its total."""
    lines = bill_lines(records)
    right = ("SECONDS", "COST", "ACCEL-HOURS", "FLOPS", *(cause.upper() for cause in CAUSES))
    columns = ("ATTEMPT", "STAGE", "STEPS", "SECONDS", "COST", "ACCEL-HOURS", "FLOPS")
    table = plain_table(*columns, *(cause.upper() for cause in CAUSES), "OUTCOME", right=right, title=title)
    for line in lines:
        table.add_row(*_cells(line))
    table.add_section()
    waste = [f"{sum(line.waste[cause] for line in lines):.0f}s" for cause in CAUSES]
    held = format_duration(sum(line.seconds for line in lines))
    whole = total(records)
    sums = [_money(whole[Axis.COST]), _money(whole[Axis.ACCELERATOR_HOURS]), _count(whole[Axis.FLOPS])]
    table.add_row("total", "", "", held, *sums, *waste, "", style="bold")
    return table


def _line(record: SpendRecord) -> BillLine:
    status = record.status
    return BillLine(
        attempt=record.spec.attempt,
        stage=record.spec.stage,
        seconds=sum(interval.seconds for interval in status.intervals),
        charged=status.charged.as_decimals() if status.charged else {},
        waste={cause: float(getattr(status.waste, cause)) if status.waste else 0.0 for cause in CAUSES},
        steps=steps_text(status.first_step, status.last_step),
        outcome=status.outcome or status.phase,
        estimated=status.estimated,
    )


def _cells(line: BillLine) -> list[str]:
    mark = " (upper bound)" if line.estimated else ""
    return [
        line.attempt, line.stage, line.steps, str(line.seconds), _money(line.charged.get(Axis.COST)),
        _money(line.charged.get(Axis.ACCELERATOR_HOURS)), _count(line.charged.get(Axis.FLOPS)),
        *(f"{line.waste[cause]:.0f}s" for cause in CAUSES), f"{line.outcome}{mark}",
    ]  # fmt: skip


def _money(amount: Decimal | None) -> str:
    return NONE if amount is None else f"{amount:.6f}"


def _count(amount: Decimal | None) -> str:
    return NONE if amount is None else format_count(float(amount))
