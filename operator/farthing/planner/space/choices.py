"""From a place in the grid to a choice: its layout in words, its terms, and its predictions with their spread."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import hypot, isnan

import numpy as np

from farthing.api.amounts import Axis
from farthing.domain.plan import Prediction
from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.memory import estimate_memory
from farthing.estimates.throughput import estimate_time
from farthing.estimates.throughput.communication import HOST_LINK
from farthing.planner.budget import TIME_AXES
from farthing.planner.energy import LOAD_SIGMA, MEASURED_SIGMA
from farthing.planner.estimate import STARTUP_SIGMA, WORK_SIGMA
from farthing.planner.loss import TokenWorth, predict_outcome
from farthing.planner.space.answer import Choice, Layout
from farthing.planner.space.candidates import Field
from farthing.planner.space.executors import TRAINER, executable_by
from farthing.planner.space.grid import Ints
from farthing.planner.space.knobs import SHARDINGS
from farthing.planner.space.purchase import Purchase
from farthing.planner.space.question import SpaceQuestion
from farthing.units import GIB

HELD = TIME_AXES | {Axis.ENERGY.value}
"""Axes that end a run by time held: what it reaches is as uncertain as its speed."""
COUNTED = "Young/Daly: start, saves and expected failures included"


def make_choices(question: SpaceQuestion, field: Field, members: Ints, bought: Purchase, places: Ints) -> Iterator[Choice]:
    """Of one pool's timed members, by their position there and in the purchase."""
    if not len(members):
        return
    rows, styles = field.rows[members], field.styles[members]
    found = _Estimates(field.grid.columns(rows, styles, field.site))
    for at, (member, place) in enumerate(zip(members.tolist(), places.tolist(), strict=True)):
        layout = make_layout(question, field, int(rows[at]), int(styles[at]))
        yield _choice(question, layout, found, at, _Bought(field, member, bought, place))


def make_layout(question: SpaceQuestion, field: Field, row: int, style: int) -> Layout:
    """The layout and style at those positions, in words."""
    sizes, how, kinds = field.grid.layouts, field.grid.styles[style], field.grid.kinds
    counts = {
        name: int(getattr(sizes, name)[row])
        for name in ("devices", "nodes", "dp", "tp", "pp", "vpp", "cp", "ep", "micro_batch")
    }
    layout = Layout(
        pool=field.site.offer.name,
        accelerator=field.site.offer.accelerator.name,
        precision=how.precision,
        sharding=SHARDINGS[int(sizes.sharding[row])],
        sequence_parallel=bool(sizes.sequence_parallel[row]),
        checkpointing=how.checkpointing,
        accumulation=int(sizes.accumulation[row]),
        optimizer=how.optimizer,
        adapter=how.adapter,
        attention=kinds.attention[style],
        loss=kinds.loss[style],
        compile=how.compile,
        offload=how.offload,
        executable_by=TRAINER,
        **counts,
    )
    return replace(layout, executable_by=executable_by(question, layout))


class _Estimates:
    """What the estimators say of the choices of one pool, as plain numbers; a term that is nothing is left out."""

    def __init__(self, columns: Configurations) -> None:
        memory, time = estimate_memory(columns), estimate_time(columns)
        count = len(columns)
        self.allocated, self.reserved, self.safe = (each.tolist() for each in (memory.allocated, memory.reserved, memory.safe))
        self.seconds, self.sigma = time.step_seconds.tolist(), time.sigma.tolist()
        self.host = _host_bytes(columns).tolist()
        self.time_terms = _by_member(time.terms, count)
        phases = {phase: _by_member(terms, count) for phase, terms in memory.terms.items()}
        self.memory_terms = [{phase: terms[at] for phase, terms in phases.items() if terms[at]} for at in range(count)]


def _host_bytes(c: Configurations) -> Floats:
    """Of the states of one node's devices, where they are offloaded: all that these devices hold between them."""
    base = np.where(c.has_adapter > 0, c.frozen_bytes, c.parameter_bytes) * c.parameters
    trained = c.trainable * (c.gradient_bytes + c.master_bytes + c.state_bytes)
    ranks = c.tp * c.pp * c.shard_degree
    return np.asarray(c.offload_states * (base + trained) / ranks * np.minimum(c.devices, c.devices_per_node), dtype=np.float64)


def _by_member(terms: Mapping[str, Floats], count: int) -> list[dict[str, float]]:
    """Columns by name, turned into one table a member."""
    named = {name: column.tolist() for name, column in terms.items()}
    return [{name: column[at] for name, column in named.items() if column[at]} for at in range(count)]


@dataclass(frozen=True, slots=True)
class _Bought:
    """What the budget buys with the choice."""

    field: Field
    member: int
    purchase: Purchase
    place: int

    def of(self, column: Floats) -> float:
        return float(column[self.place])

    @property
    def binding(self) -> str:
        return self.purchase.axes[int(self.purchase.binding[self.place])]


def _choice(question: SpaceQuestion, layout: Layout, found: _Estimates, at: int, bought: _Bought) -> Choice:
    field, paid, sigma, seconds = bought.field, bought.purchase, found.sigma[at], found.seconds[at]
    used, done = (WORK_SIGMA, sigma) if bought.binding in HELD else (sigma, WORK_SIGMA)
    because = f"what is left of {bought.binding}, at the predicted speed; {COUNTED}"
    steps, step_tokens = bought.of(paid.steps), float(question.global_batch * question.sequence_length)
    speed = f"roofline of {field.site.device.name}, fitted on measured runs"
    return Choice(
        layout=layout,
        memory_terms=found.memory_terms[at],
        allocated=found.allocated[at],
        reserved=found.reserved[at],
        safe=found.safe[at],
        capacity=field.site.capacity,
        time_terms=found.time_terms[at],
        step_seconds=Prediction(seconds, sigma, "s", speed),
        tokens_per_second=Prediction(step_tokens / seconds, sigma, "tokens/s", speed),
        startup_seconds=_startup(field, bought),
        tokens=Prediction(steps * step_tokens, done, "tokens", because),
        seconds=Prediction(bought.of(paid.seconds), used, "s", because),
        accelerator_hours=Prediction(bought.of(paid.accelerator_hours), used, "accelerator-hours", because),
        flops=Prediction(steps * float(field.timing.step_flops[bought.member]), done, "FLOPs", because),
        energy=_energy(field, bought, used),
        cost=_cost(field, bought, used, because),
        loss=_loss(question, steps * step_tokens),
        binding=bought.binding,
        interruptions=bought.of(paid.interruptions),
        notes=_notes(question, layout, found.host[at]),
    )


def _startup(field: Field, bought: _Bought) -> Prediction:
    measured = field.site.offer.startup_seconds is not None
    source = "measured on this pool" if measured else "prior of the runtime image"
    return Prediction(float(field.course.startup[bought.member]), STARTUP_SIGMA, "s", source)


def _energy(field: Field, bought: _Bought, used: float) -> Prediction | None:
    watts = field.site.watts
    if watts is None:
        return None
    source = f"{watts:g} W design power of {field.site.device.name} at the assumed training load"
    spread = MEASURED_SIGMA if bought.binding == Axis.ENERGY else hypot(used, LOAD_SIGMA, MEASURED_SIGMA)
    return Prediction(bought.of(bought.purchase.energy), spread, "kWh", source)


def _cost(field: Field, bought: _Bought, used: float, because: str) -> Prediction | None:
    cost = bought.of(bought.purchase.cost)
    return None if isnan(cost) else Prediction(cost, used, field.site.offer.currency or "", because)


def _loss(question: SpaceQuestion, tokens: float) -> Prediction | None:
    """None for fine-tuning."""
    if question.pretrained:
        return None
    trained = question.tokens_done + tokens
    return predict_outcome(question.architecture, trained, pretrained=False, worth=token_worth(question))


def _notes(question: SpaceQuestion, layout: Layout, host: float) -> tuple[str, ...]:
    """What a reader should know; `host`: bytes on each node's host, offloaded."""
    found = []
    if layout.optimizer not in ("AdamW", "AdamW8bit"):
        found.append(f"of the step of {layout.optimizer} only its memory traffic is timed, not its arithmetic")
    if layout.adapter in ("DoRA", "QDoRA"):
        found.append("the terms of weight-decomposed adapters are counted from their code: no measured run stands behind them")
    if layout.precision == "float16":
        found.append("float16 needs its loss scaled: a step whose gradients overflow is skipped, which is not counted")
    if layout.offload:
        found.append(
            f"parameters, gradients and states wait on the host, {host / GIB:.0f} GiB a node; the way there is reckoned with "
            f"{HOST_LINK / 1e9:g} GB/s a device, and no measured run stands behind it"
        )
    if question.unique_tokens is not None and question.pretrained:
        found.append(f"passes over {question.unique_tokens:.4g} unique tokens count in full: no discount holds for fine-tuning")
    return tuple(found)


def token_worth(question: SpaceQuestion) -> TokenWorth:
    """What the question says of its data and its batch."""
    return TokenWorth(
        unique_tokens=question.unique_tokens,
        selection_factor=question.selection_factor,
        batch_tokens=question.global_batch * question.sequence_length,
        critical_batch_tokens=question.critical_batch_tokens,
    )
