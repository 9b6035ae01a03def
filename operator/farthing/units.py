"""Quantities with their units: the only place where 1024, 1e12 and 3600 are spelled out.

Money and every other amount that a budget counts is a `Decimal`: binary floats lose farthings. Times that are measured are
`float` seconds; sizes are `int` bytes.
"""

import re
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, DefaultContext, InvalidOperation, getcontext
from typing import Final, NewType

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
Flops = NewType("Flops", float)
FlopsPerSecond = NewType("FlopsPerSecond", float)
TokensPerSecond = NewType("TokensPerSecond", float)

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
SECONDS_PER_HOUR: Final = 3600

MICRO: Final = Decimal("0.000001")
"""The smallest amount of money or of accelerator-hours that is written: six decimals, as in the API's pattern."""

MONEY_PATTERN: Final = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"
DURATION_PATTERN: Final = r"^([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?([0-9]{1,9}ms)?$"
"""At most some forty years: a date can be moved by it."""
BIG_NUMBER_PATTERN: Final = r"^([0-9]{1,32}(\.[0-9]{1,6})?|[0-9]{1,3}(\.[0-9]{1,24})?[eE]\+?(2[0-5]|[01]?[0-9]))$"
"""Plain, or with an exponent up to 25: above the largest run that anybody will plan, and within PRECISION."""
QUANTITY_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,6})?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
TIME_PATTERN: Final = (
    r"^(19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
)
"""RFC 3339 as Kubernetes writes it, in years that can be reckoned with; `format: date-time` alone lets +99:99 through."""

LARGEST_MONEY: Final = Decimal("999999999999.999999")
LARGEST_COUNT: Final = Decimal(10) ** 28
"""The largest amounts that MONEY_PATTERN and BIG_NUMBER_PATTERN can say."""
PRECISION: Final = 60
"""Digits of a sum: more than amounts that fit BIG_NUMBER_PATTERN can add up to, so that none is ever rounded."""
DefaultContext.prec = PRECISION
getcontext().prec = PRECISION

_DURATION_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY_BYTES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_BYTES: Final = {"Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": 1024**4}


def parse_amount(text: str) -> Decimal:
    """A non-negative decimal such as ``0.06`` or ``1.9e12``. Raises ValueError on anything else."""
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal number; write for example 0.06 or 1.9e12") from error
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} must be a finite number of at least 0")
    return amount


def format_micro(amount: Decimal) -> str:
    """Money or accelerator-hours with at most six decimals, rounded up: a bill is never shown smaller than it is."""
    rounded = amount.quantize(MICRO, rounding=ROUND_CEILING)
    return _plain(rounded)


def format_whole(amount: Decimal) -> str:
    """Tokens or FLOPs as a whole number, rounded up, in plain digits."""
    return _plain(amount.quantize(Decimal(1), rounding=ROUND_CEILING))


def _plain(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_duration(text: str) -> Seconds:
    """Seconds in a Kubernetes-style duration such as ``90s``, ``10m`` or ``1h30m``. Raises ValueError."""
    if not text or not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 10m or 1h30m")
    parts = re.findall(r"([0-9]+)(ms|s|m|h|d)", text)
    return Seconds(sum(int(count) * _DURATION_SECONDS[unit] for count, unit in parts))


def format_duration(seconds: float) -> str:
    """A short human duration: ``43s``, ``6m10s``, ``1h05m``, ``2d03h``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def parse_quantity(text: str) -> Bytes:
    """Bytes in a Kubernetes quantity such as ``512Mi`` or ``6G``. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?", text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity of bytes; write for example 512Mi or 6Gi")
    number, suffix = match.group(1), match.group(2) or ""
    return Bytes(int(Decimal(number) * {**_QUANTITY_BYTES, **_BINARY_BYTES}[suffix]))


def format_bytes(size: float) -> str:
    """A human size in binary units: ``1.5 GiB``, ``12.0 MiB``."""
    for unit, scale in (("TiB", 1024**4), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size) >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size:.0f} B"


def format_count(number: float) -> str:
    """A human count in powers of a thousand: ``7.1k``, ``1.9T``."""
    for unit, scale in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if float(f"{abs(number):.3g}") >= scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number:.4g}"


def parse_time(text: str) -> datetime:
    """An aware UTC datetime from an RFC 3339 string as Kubernetes writes it. Raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write for example 2026-12-01T12:00:00Z")
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes' metav1.Time prints it (fractions are cut off)."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
