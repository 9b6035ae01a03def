"""What is left of a budget, in whole steps, for n candidates at once: every limit is turned into steps, and the smallest binds.

The course of a run is `planner.spot`'s, on columns: a start of R seconds, then useful training cut into segments of Daly's best
length T, each followed by a save of C, while failures come every M seconds to the gang of n nodes; useful time W takes

    paid(W) = W/T · M · e^(R/M) · (e^((T + C)/M) − 1), and one segment of T = W where the run is shorter than T.

Spot and on-demand differ in M alone: a pool's mean time between failures of one node, none announced. `paid` rises with W and
has a closed inverse, so that each limit on time, money, accelerator-hours or energy buys a W. Energy counts training, lost
training and saves at the training load, starts at none (`planner.energy`). The reserve behind a trainer's end is bought, never
trained in (DESIGN 4); it covers the last save.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from farthing.api.amounts import Axis
from farthing.errors import InvalidSpec
from farthing.estimates.configuration import Floats
from farthing.planner.budget import DEADLINE
from farthing.planner.energy import PowerDraw
from farthing.planner.estimate import SAVE_BANDWIDTH
from farthing.planner.space.grid import Ints
from farthing.planner.space.question import SpaceQuestion
from farthing.planner.space.sites import Site
from farthing.planner.spot import daly_interval
from farthing.units import SECONDS_PER_HOUR

FAILURES = "failures"
"""Constraint of a gang that fails before it ever saves."""
HOPELESS = 500.0
"""Mean times between failures in one segment beyond which it never ends: `planner.spot`'s own bound."""
STATE_BYTES = 12.0
"""Of a save, per trainable parameter: weight and two moments in float32."""
JOULES_PER_KWH = 3.6e6
ROUNDING = 1e-12
"""Relative: what floating point may have taken from a whole number of steps."""


@dataclass(frozen=True, slots=True)
class Course:
    """How runs of candidates go: seconds, watts of one device, price of the whole gang an hour; one element a candidate."""

    startup: Floats
    """R."""
    checkpoint: Floats
    """C."""
    mean: Floats
    """M, of the gang."""
    interval: Floats
    """T; infinite where nothing fails."""
    scale: Floats
    """M · e^(R/M)."""
    segment: Floats
    """Paid for one segment of T; infinite for gangs that fail too often to ever save."""
    restarts: Floats
    """Share of the paid seconds that goes to starts after failures: (1 − e^(−R/M)), one a failure or until the next."""
    reserve: Floats
    """Held beyond the last save and never trained in."""
    devices: Floats
    price: Floats
    """NaN where the pool has none."""
    watts: Floats
    """Mean power of the gang over the paid seconds; NaN where the design power is unknown."""
    idle_watts: Floats
    """Of the gang while it starts or waits."""

    def take(self, chosen: Ints) -> "Course":
        """Those at the given positions."""
        return Course(*(getattr(self, each.name)[chosen] for each in fields(self)))

    @property
    def hopeless(self) -> npt.NDArray[np.bool_]:
        """Which fail too often to ever save."""
        return np.isinf(self.segment)

    @property
    def _calm(self) -> npt.NDArray[np.bool_]:
        return np.isinf(self.mean)

    def paid(self, useful: Floats) -> Floats:
        """Seconds held after the first start for `useful` seconds of training; infinite where they never end."""
        found = np.where(useful > 0, np.where(self._calm, useful + self.checkpoint, np.inf), 0.0)
        failing = (useful > 0) & ~self._calm & ~self.hopeless
        many, few = failing & (useful >= self.interval), failing & (useful < self.interval)
        found[many] = useful[many] / self.interval[many] * self.segment[many]
        found[few] = self.scale[few] * np.expm1((useful[few] + self.checkpoint[few]) / self.mean[few])
        return found

    def useful(self, paid: Floats) -> Floats:
        """Seconds of training that `paid` seconds after the first start buy; at most 0 where not even a save is paid."""
        found = np.where(self._calm, paid - self.checkpoint, 0.0)
        failing = (paid > 0) & ~self._calm & ~self.hopeless
        many, few = failing & (paid >= self.segment), failing & (paid < self.segment)
        found[many] = paid[many] / self.segment[many] * self.interval[many]
        found[few] = self.mean[few] * np.log1p(paid[few] / self.scale[few]) - self.checkpoint[few]
        return found

    def kilowatt_hours(self, paid: Floats, waiting: Floats) -> Floats:
        """Of the paid seconds, and of those before or after them in which nothing is trained."""
        return (self.watts * paid + self.idle_watts * waiting) / JOULES_PER_KWH


def course(question: SpaceQuestion, site: Site, nodes: Floats, devices: Floats, trainable: Floats) -> Course:
    """Of gangs of so many nodes and devices on one pool that save so many trainable parameters."""
    offer, profile = site.offer, question.profile
    startup = float(profile.startup_seconds if offer.startup_seconds is None else offer.startup_seconds)
    checkpoint = profile.checkpoint_seconds + STATE_BYTES * trainable / SAVE_BANDWIDTH
    mean = _mean(site) / nodes
    interval = _intervals(checkpoint, mean)
    scale, segment, restarts = _failing(startup, checkpoint, mean, interval)
    busy, idle = _watts(site)
    return Course(
        startup=np.full(len(nodes), startup),
        checkpoint=checkpoint,
        mean=mean,
        interval=interval,
        scale=scale,
        segment=segment,
        restarts=restarts,
        reserve=np.maximum(profile.reserve_seconds - checkpoint, 0.0),
        devices=devices,
        price=devices * (np.nan if site.price is None else site.price),
        watts=devices * (busy * (1.0 - restarts) + idle * restarts),
        idle_watts=devices * idle,
    )


def _failing(startup: float, checkpoint: Floats, mean: Floats, interval: Floats) -> tuple[Floats, Floats, Floats]:
    """`Course.scale`, `segment` and `restarts`; 1, 0 and 0 where nothing fails."""
    scale, segment, restarts = np.ones(len(mean)), np.zeros(len(mean)), np.zeros(len(mean))
    failing = np.isfinite(mean)
    M, length = mean[failing], interval[failing] + checkpoint[failing]
    ends = (length + startup) / M <= HOPELESS
    grown = M * np.exp(np.where(ends, startup / M, 0.0))
    scale[failing] = grown
    segment[failing] = np.where(ends, grown * np.expm1(np.where(ends, length / M, 0.0)), np.inf)
    restarts[failing] = -np.expm1(-startup / M)
    return scale, segment, restarts


def _mean(site: Site) -> float:
    mean = site.offer.mean_time_between_failures
    if not mean > 0:
        raise InvalidSpec("meanTimeBetweenFailures", mean, f"give pool {site.offer.name} seconds above 0")
    return mean


def _watts(site: Site) -> tuple[float, float]:
    if site.watts is None:
        return np.nan, np.nan
    draw = PowerDraw(site.device.name, site.watts)
    return draw.watts(), draw.watts(0.0)


def _intervals(checkpoint: Floats, mean: Floats) -> Floats:
    """`daly_interval` of each, at least a millisecond; few pairs of a save and a gang differ."""
    saves, save = np.unique(checkpoint, return_inverse=True)
    rates, rate = np.unique(mean, return_inverse=True)
    table = [[max(daly_interval(each, every), 1e-3) for every in rates.tolist()] for each in saves.tolist()]
    return np.array(table, dtype=np.float64).reshape(len(saves), len(rates))[save, rate]


@dataclass(frozen=True, slots=True)
class Purchase:
    """What each candidate reaches: whole steps, and what they use. Seconds are of wall time, the unused reserve not counted."""

    steps: Floats
    binding: npt.NDArray[np.int64]
    """Position in `axes` of the limit that ends the run."""
    axes: tuple[str, ...]
    seconds: Floats
    accelerator_hours: Floats
    cost: Floats
    """NaN where the pool has no price."""
    energy: Floats
    """kWh; NaN where the design power is unknown."""
    interruptions: Floats


def purchase(question: SpaceQuestion, run: Course, step_seconds: Floats, step_flops: Floats) -> Purchase:
    """What the question's budget buys. Raises InvalidSpec where nothing is limited: no run without an end."""
    held = _held_limits(question, run)
    bought = {axis: run.useful(paid) / step_seconds for axis, paid in held.items()} | _work_limits(question, step_flops)
    if not bought:
        remedy = "limit cost, accelerator-hours, FLOPs, tokens or energy, or set a deadline: the run has no end without one"
        raise InvalidSpec("budget", "", remedy)
    table = np.stack(list(bought.values()))
    if np.isinf(table.min(axis=0, initial=np.inf)).any():
        remedy = "only money is limited, and a pool that costs nothing never uses it up: limit another axis, or set a deadline"
        raise InvalidSpec("price_per_accelerator_hour", 0, remedy)
    binding = np.argmin(table, axis=0)
    steps = np.floor(np.maximum(np.min(table, axis=0), 0.0) * (1.0 + ROUNDING))
    steps[run.hopeless] = 0.0
    paid = np.where(steps > 0, run.paid(steps * step_seconds), 0.0)
    seconds = run.startup + paid
    hours = seconds / SECONDS_PER_HOUR
    return Purchase(
        steps, binding, tuple(bought), seconds, hours * run.devices, hours * run.price,
        run.kilowatt_hours(paid, run.startup), paid / run.mean,
    )  # fmt: skip


def _held_limits(question: SpaceQuestion, run: Course) -> dict[str, Floats]:
    """Seconds after the first start that each limit on holding the gang leaves; negative where not even the start is paid."""
    left = {axis: float(amount) for axis, amount in question.remaining.items()}
    waiting, found = run.startup + run.reserve, {}
    if Axis.COST in left:
        free = np.where(run.price > 0, run.price, 1.0)
        found[Axis.COST.value] = np.where(run.price > 0, left[Axis.COST] / free * SECONDS_PER_HOUR - waiting, np.inf)
    if Axis.ACCELERATOR_HOURS in left:
        found[Axis.ACCELERATOR_HOURS.value] = left[Axis.ACCELERATOR_HOURS] / run.devices * SECONDS_PER_HOUR - waiting
    if Axis.ENERGY in left:
        joules = left[Axis.ENERGY] * JOULES_PER_KWH - run.idle_watts * waiting
        found[Axis.ENERGY.value] = joules / run.watts
    if question.seconds_left is not None:
        found[DEADLINE] = question.seconds_left - waiting
    return found


def _work_limits(question: SpaceQuestion, step_flops: Floats) -> dict[str, Floats]:
    """Steps that each limit on work done leaves."""
    found = {}
    if Axis.FLOPS in question.remaining:
        found[Axis.FLOPS.value] = float(question.remaining[Axis.FLOPS]) / step_flops
    if Axis.TOKENS in question.remaining:
        step_tokens = question.global_batch * question.sequence_length
        found[Axis.TOKENS.value] = np.full(len(step_flops), float(question.remaining[Axis.TOKENS]) / step_tokens)
    return found


@dataclass(frozen=True, slots=True)
class OneStep:
    """What one step takes of a limit, and what is left of it."""

    needs: Floats
    has: float
    unit: str


def one_step(question: SpaceQuestion, run: Course, step_seconds: Floats, step_flops: Floats) -> dict[str, OneStep]:
    """Of each limit by its axis, for every candidate: start, one step, save and reserve, or the step's own work."""
    paid, waiting = run.paid(step_seconds), run.startup + run.reserve
    hours = (paid + waiting) / SECONDS_PER_HOUR
    needs = {
        Axis.COST.value: (hours * run.price, currency_of(question)),
        Axis.ACCELERATOR_HOURS.value: (hours * run.devices, "accelerator-hours"),
        Axis.ENERGY.value: (run.kilowatt_hours(paid, waiting), "kWh"),
        Axis.FLOPS.value: (step_flops, "FLOPs"),
        Axis.TOKENS.value: (np.full(len(paid), float(question.global_batch * question.sequence_length)), "tokens"),
    }
    found = {
        axis.value: OneStep(needs[axis.value][0], float(left), needs[axis.value][1])
        for axis, left in question.remaining.items()
    }
    if question.seconds_left is not None:
        found[DEADLINE] = OneStep(paid + waiting, question.seconds_left, "s")
    return found


def currency_of(question: SpaceQuestion) -> str:
    """Of the first priced pool; empty where none is."""
    return next((offer.currency for offer in question.pools if offer.currency), "")
