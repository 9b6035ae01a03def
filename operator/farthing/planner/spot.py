"""Spot against on-demand: interruptions, the work they lose, and the price of an hour of training that remains.

Failures come at random with a constant rate (Poisson). A run of useful time W is cut into segments of length T, each followed
by a save of C; a failure throws the unsaved part of its segment away and costs a restart R, which may fail as well. Daly's
complete form gives the expected time (J. T. Daly, Future Generation Computer Systems 22, 2006):

    paid = W/T · M · e^(R/M) · (e^((T + C)/M) − 1)

To first order that is rule C14: waste C/T + T/(2M), least at T = √(2CM) (Young 1974). A preemption with a notice of at least C
loses no work: the run saves and stops; it costs a save and a restart. One node that fails stops the gang, so n nodes fail n
times as often. Waiting for capacity takes time but is not paid; nothing fails while nothing runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, inf, isfinite, isnan, sqrt

from farthing.errors import InvalidSpec, MissingPrice
from farthing.units import SECONDS_PER_HOUR

_HOPELESS = 500.0
"""Exponent beyond which a segment never ends in practice: e^500 failures."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How one kind of capacity is priced and how it fails. Times in seconds; a mean of `inf` means never."""

    name: str
    """Pool or catalogue row: named when its price is missing."""
    price_per_node_hour: float | None
    preemption_mean: float = inf
    """Mean time between preemptions of one node."""
    crash_mean: float = inf
    """Mean time between failures of one node without notice."""
    notice_seconds: float = 0.0
    """Between the notice of a preemption and the end of the node."""
    wait_seconds: float = 0.0
    """Mean wait for a replacement after an interruption; not paid."""

    def __post_init__(self) -> None:
        for name in ("preemption_mean", "crash_mean"):
            if isnan(value := getattr(self, name)) or value <= 0:
                raise InvalidSpec(name, value, "give seconds above 0, or inf for never")
        for name in ("notice_seconds", "wait_seconds"):
            _seconds(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a save and a restart of this plan cost, in seconds."""

    checkpoint_seconds: float
    """C, time that a save stops the training."""
    restart_seconds: float
    """R, from a fresh node to the first new step: schedule, pull, import, rendezvous, load."""

    def __post_init__(self) -> None:
        _seconds("checkpoint_seconds", self.checkpoint_seconds)
        _seconds("restart_seconds", self.restart_seconds)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Expected course of a run on one kind of capacity. Seconds, of the whole gang at once."""

    capacity: str
    nodes: int
    useful_seconds: float
    interval_seconds: float
    """Of useful training between two saves; `inf` where nothing can be lost."""
    interruptions: float
    """Expected number, graceful and sudden."""
    lost_seconds: float
    """Training thrown away."""
    checkpoint_seconds: float
    """Spent in saves."""
    restart_seconds: float
    """Spent in starts: the first, and those after interruptions, failed ones included."""
    wait_seconds: float
    """Without nodes; not paid."""

    @property
    def paid_seconds(self) -> float:
        """Nodes held."""
        return self.useful_seconds + self.lost_seconds + self.checkpoint_seconds + self.restart_seconds

    @property
    def wall_seconds(self) -> float:
        """From the start to the end."""
        return self.paid_seconds + self.wait_seconds

    @property
    def efficiency(self) -> float:
        """Useful share of the time paid, 0 to 1."""
        return self.useful_seconds / self.paid_seconds


@dataclass(frozen=True, slots=True)
class Quote:
    """An outlook with its price."""

    outlook: Outlook
    cost: float
    """Expected, of the run."""
    price_per_useful_hour: float
    """Of one node's hour of training that remains: list price ÷ efficiency."""


def daly_interval(checkpoint_seconds: float, mean_time_between_failures: float) -> float:
    """Best time between saves in seconds; Daly 2006: √(2CM)·(1 + √(C/2M)/3 + C/18M) − C below C = 2M, else M."""
    C, M = _seconds("checkpoint_seconds", checkpoint_seconds), mean_time_between_failures
    if not isfinite(M):
        return inf
    if C >= 2.0 * M:
        return M
    ratio = C / (2.0 * M)
    return max(sqrt(2.0 * C * M) * (1.0 + sqrt(ratio) / 3.0 + ratio / 9.0) - C, min(C, M))


def young_waste(checkpoint_seconds: float, interval_seconds: float, mean_time_between_failures: float) -> float:
    """Share of time lost to first order, C/T + T/(2M) (rule C14)."""
    return checkpoint_seconds / interval_seconds + interval_seconds / (2.0 * mean_time_between_failures)


def outlook(useful_seconds: float, nodes: int, capacity: Capacity, recovery: Recovery) -> Outlook:
    """What to expect of a run of `useful_seconds` on `nodes` nodes.

    Raises InvalidSpec where a number is out of range, or where failures come so fast that no segment is ever saved.
    """
    useful = _seconds("useful_seconds", useful_seconds)
    if nodes < 1 or useful == 0:
        raise InvalidSpec("nodes, useful_seconds", (nodes, useful), "at least one node and some work are needed")
    C, R = recovery.checkpoint_seconds, recovery.restart_seconds
    graceful = capacity.notice_seconds >= C
    calm = capacity.preemption_mean / nodes if graceful else inf
    sudden = _together(capacity.crash_mean / nodes, inf if graceful else capacity.preemption_mean / nodes)
    interval = min(useful, max(daly_interval(C, sudden), 1e-3)) if sudden < inf else useful
    saves = useful / interval
    paid = saves * _segment_seconds(interval + C, R, sudden, capacity.name)
    failures = paid / sudden
    held = _stretched(paid, C + R, calm, capacity.name)
    notices = held / calm
    restarts = R * (1.0 + notices) + _restarts(R, sudden, failures)
    lost = max(0.0, paid - useful - saves * C - _restarts(R, sudden, failures))
    return Outlook(
        capacity=capacity.name,
        nodes=nodes,
        useful_seconds=useful,
        interval_seconds=interval if sudden < inf else inf,
        interruptions=failures + notices,
        lost_seconds=lost,
        checkpoint_seconds=C * (saves + notices),
        restart_seconds=restarts,
        wait_seconds=capacity.wait_seconds * (failures + notices),
    )


def quote(useful_seconds: float, nodes: int, capacity: Capacity, recovery: Recovery) -> Quote:
    """`outlook` with its price. Raises MissingPrice that names the row without one, else as `outlook`."""
    price = capacity.price_per_node_hour
    if price is None:
        raise MissingPrice(
            f"spec.price: {capacity.name} has none, so that it cannot be compared: add perAcceleratorHour, currency and source "
            f"to {capacity.name}"
        )
    if not (isfinite(price) and price >= 0):
        raise InvalidSpec("price_per_node_hour", price, f"give {capacity.name} a finite price of at least 0")
    expected = outlook(useful_seconds, nodes, capacity, recovery)
    cost = expected.paid_seconds / SECONDS_PER_HOUR * price * nodes
    return Quote(expected, cost, price / expected.efficiency)


def compare(
    useful_seconds: float, nodes: int, capacities: Sequence[Capacity], recovery: Recovery, seconds_left: float | None = None
) -> tuple[Quote, ...]:
    """Quotes of every kind of capacity: those expected to end within `seconds_left` first, then by cost, wall time and name.

    Capacity that fails too fast to ever save is left out. Raises MissingPrice for the first kind without a price.
    """
    quotes = []
    for capacity in capacities:
        try:
            quotes.append(quote(useful_seconds, nodes, capacity, recovery))
        except InvalidSpec as fault:
            if fault.reason != HOPELESS:
                raise
    limit = inf if seconds_left is None else seconds_left
    order = sorted(quotes, key=lambda q: (q.outlook.wall_seconds > limit, q.cost, q.outlook.wall_seconds, q.outlook.capacity))
    return tuple(order)


def break_even_discount(steady: Outlook, spot: Outlook) -> float:
    """Discount on the list price above which spot is cheaper: 1 − efficiency(spot) ÷ efficiency(steady); at most 0: always."""
    return 1.0 - spot.efficiency / steady.efficiency


HOPELESS = "NeverSaves"
"""Reason of the refusal where failures come faster than saves."""


def _segment_seconds(length: float, restart: float, mean: float, name: str) -> float:
    """Expected seconds until `length` seconds ran without a failure: M·e^(R/M)·(e^(length/M) − 1)."""
    if mean == inf:
        return length
    if (length + restart) / mean > _HOPELESS:
        raise _hopeless(name, mean)
    return mean * exp(restart / mean) * expm1(length / mean)


def _restarts(restart: float, mean: float, failures: float) -> float:
    """Expected seconds in restarts: each failure starts one, which lasts R or until the next failure, M·(1 − e^(−R/M))."""
    return 0.0 if mean == inf else failures * mean * -expm1(-restart / mean)


def _stretched(paid: float, each: float, mean: float, name: str) -> float:
    """Paid seconds when every `mean` seconds one graceful interruption adds `each` seconds."""
    if mean == inf:
        return paid
    if each >= mean:
        raise _hopeless(name, mean)
    return paid / (1.0 - each / mean)


def _hopeless(name: str, mean: float) -> InvalidSpec:
    remedy = f"{name} fails every {mean:.3g} s, too often to save any work: take fewer nodes, faster saves or other capacity"
    return InvalidSpec("capacity", name, remedy, reason=HOPELESS)


def _together(first: float, second: float) -> float:
    """Mean time between events of either kind."""
    rate = 1.0 / first + 1.0 / second
    return 1.0 / rate if rate > 0 else inf


def _seconds(name: str, value: float) -> float:
    if not (isfinite(value) and value >= 0):
        raise InvalidSpec(name, value, "give finite seconds of at least 0")
    return value
