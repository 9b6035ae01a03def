"""The strings of the printer columns: kubectl cannot compute."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt
from farthing.units import format_count, format_micro


def amounts_text(axes: Iterable[Axis], values: Mapping[Axis, Decimal], currency: str | None) -> str:
    """The named axes as one line: `0.0123 USD, 1.9T FLOPs`; an axis without a value reads 0."""
    return ", ".join(_amount(axis, values.get(axis, Decimal(0)), currency) for axis in axes)


def progress_text(progress: Progress) -> str:
    """`412/1200 (34%)` once the end is known, the step alone before, the phase before any step."""
    if not progress.step:
        return progress.phase
    if not progress.last_step:
        return str(progress.step)
    return f"{progress.step}/{progress.last_step} ({100 * progress.step // progress.last_step}%)"


def accelerators_text(attempt: Attempt | None) -> str:
    """`2 × cpu-slot` while they are held."""
    if attempt is None:
        return "0"
    spec = attempt.record.spec
    return f"{spec.pods * spec.accelerators_per_pod} × {spec.accelerator}"


def _amount(axis: Axis, value: Decimal, currency: str | None) -> str:
    if axis is Axis.COST:
        return f"{format_micro(value)} {currency or ''}".strip()
    if axis is Axis.ACCELERATOR_HOURS:
        return f"{format_micro(value)} h"
    if axis is Axis.ENERGY:
        return f"{format_micro(value)} kWh"
    return f"{format_count(float(value))} {'FLOPs' if axis is Axis.FLOPS else 'tokens'}"
