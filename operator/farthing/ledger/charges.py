"""What an attempt is charged on every axis for the time and work that the evidence shows."""

from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.domain.snapshot import Attempt
from farthing.ledger import quotes
from farthing.ledger.arithmetic import accelerator_hours, within
from farthing.ledger.evidence import HeldTime
from farthing.ledger.report import Report, accelerators, executed_flops, inherited_tokens, lineage_tokens


def charge(
    attempt: Attempt, held: HeldTime, report: Report, *, finished: bool, lineage_before: int | None = None
) -> tuple[dict[Axis, Decimal], bool]:
    """Amounts by axis, none above what was held for it, and whether any of them is an upper bound.

    `cost` is absent where no price is known, `tokens` where no report is. Tokens are the growth of the surviving lineage over
    `lineage_before` (absent: over what the attempt resumed from); a lineage that fell back charges none.
    """
    spec = attempt.record.spec
    flops, bound = executed_flops(attempt, report, held)
    charged = {Axis.ACCELERATOR_HOURS: accelerator_hours(accelerators(spec), held.seconds), Axis.FLOPS: flops}
    if spec.quote.per_accelerator_hour is not None:
        charged[Axis.COST] = quotes.rent(attempt.record, held.start, held.seconds)
    if report.progress is not None and spec.stage == "Train":
        before = inherited_tokens(report.progress) if lineage_before is None else lineage_before
        charged[Axis.TOKENS] = Decimal(max(0, lineage_tokens(report.progress, finished=finished) - before))
    return within(charged, spec.held.as_decimals()), bound
