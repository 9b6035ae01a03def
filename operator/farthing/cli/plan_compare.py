"""Two plans term by term: memory by phase, the step's time, what the budget buys, and where the layouts differ."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.cli.output import plain_table
from farthing.cli.tables import NONE
from farthing.domain.plan import Plan, Prediction
from farthing.errors import InvalidSpec
from farthing.planner.space.answer import Choice
from farthing.units import format_bytes, format_count, format_duration

Subject = TypeVar("Subject")
_MINUTE = 60.0
"""Seconds: times below are shown with their fractions, so that two steps can be told apart."""


@dataclass(frozen=True, slots=True)
class Line:
    """One term of both plans; None where a plan has none of it. Words have no difference."""

    section: str
    term: str
    left: float | str | None
    right: float | str | None
    unit: str = ""

    @property
    def difference(self) -> float | None:
        """right − left; a term that one plan lacks counts as nothing there."""
        if isinstance(self.left, str) or isinstance(self.right, str):
            return None
        return (self.right or 0.0) - (self.left or 0.0)


def chosen(
    text: str, subjects: Sequence[Subject], option: str = "--compare"
) -> tuple[tuple[int, Subject], tuple[int, Subject]]:
    """`1,3` → the first and the third with their numbers. Raises InvalidSpec."""
    words = text.split(",")
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if len(numbers) != 2 or len(words) != 2 or numbers[0] == numbers[1]:
        raise InvalidSpec(option, text, "name two plans by their numbers, as in 1,3")
    found = [(number, numbered(number, subjects, option)) for number in numbers]
    return found[0], found[1]


def numbered(number: int, subjects: Sequence[Subject], option: str) -> Subject:
    """The plan of that number, counted from 1. Raises InvalidSpec where there are fewer."""
    if not 1 <= number <= len(subjects):
        raise InvalidSpec(option, number, f"there are the plans 1 to {len(subjects)}")
    return subjects[number - 1]


def of_choices(left: Choice, right: Choice) -> tuple[Line, ...]:
    """Two answers of the search."""
    a, b = asdict(left.layout), asdict(right.layout)
    sizes = ("allocated", "reserved", "safe", "capacity")
    runs = ("tokens_per_second", "startup_seconds", "seconds", "tokens", "accelerator_hours", "flops", "energy", "cost", "loss")
    return (
        *_words("layout", a, b),
        *_phases(left.memory_terms, right.memory_terms),
        *(Line("memory: device", name, getattr(left, name), getattr(right, name), "B") for name in sizes),
        *_terms("time of a step", left.time_terms, right.time_terms, "s"),
        *_predictions("time of a step", left, right, ("step_seconds",)),
        *_predictions("run", left, right, runs),
        Line("run", "interruptions", left.interruptions, right.interruptions),
        *_words("run", {"binding": left.binding}, {"binding": right.binding}),
    )


def of_plans(left: Plan, right: Plan) -> tuple[Line, ...]:
    """Two plans of a job."""
    layouts = [asdict(plan.allocation) | asdict(plan.strategy) for plan in (left, right)]
    runs = (
        "tokens_per_second",
        "startup_seconds",
        "checkpoint_seconds",
        "seconds",
        "tokens",
        "flops",
        "energy",
        "cost",
        "loss",
    )
    sizes = ("baseline", "model_bytes", "expected_bytes", "safe_bytes")
    return (
        *_words("layout", *layouts),
        *_phases(left.memory.terms, right.memory.terms),
        *(Line("memory: process", name, getattr(left.memory, name), getattr(right.memory, name), "B") for name in sizes),
        *_predictions("run", left, right, ("step_seconds", *runs)),
        *_words("run", {"binding": left.binding}, {"binding": right.binding}),
    )


def table(lines: Iterable[Line], left: int, right: int) -> RenderableType:
    """A table a section, the second plan's difference from the first beside its numbers."""
    sections: dict[str, list[Line]] = {}
    for line in lines:
        sections.setdefault(line.section, []).append(line)
    parts: list[RenderableType] = []
    for section, members in sections.items():
        numbers = (f"PLAN {left}", f"PLAN {right}", "DIFFERENCE", "RELATIVE")
        drawn = plain_table(section.upper(), *numbers, "", right=numbers)
        for line in members:
            drawn.add_row(line.term.replace("_", " "), *_cells(line), "" if line.unit in _FORMS else line.unit)
        parts += [drawn, Text("")]
    return Group(*parts[:-1])


def as_data(lines: Iterable[Line], left: int, right: int) -> dict[str, Any]:
    """The same for programs."""
    return {"plans": [left, right], "terms": [asdict(line) | {"difference": line.difference} for line in lines]}


def _cells(line: Line) -> tuple[str, str, str, str]:
    difference = line.difference
    if difference is None:
        return str(line.left), str(line.right), "", ""
    share = f"{difference / line.left:+.1%}" if isinstance(line.left, float | int) and line.left and difference else ""
    return _number(line.left, line.unit), _number(line.right, line.unit), _signed(difference, line.unit), share


def _signed(value: float, unit: str) -> str:
    if not value:
        return "0"
    return ("+" if value > 0 else "-") + _number(abs(value), unit)


def _number(value: float | str | None, unit: str) -> str:
    if not isinstance(value, float | int):
        return NONE
    form = _FORMS.get(unit)
    if form is not None:
        return form(value)
    return f"{value:.4g}" if abs(value) < 1000 else format_count(value)


def _seconds(value: float) -> str:
    if value >= _MINUTE:
        return format_duration(value)
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"


_FORMS: Mapping[str, Callable[[float], str]] = {"B": format_bytes, "s": _seconds}


def _phases(left: Mapping[str, Mapping[str, float]], right: Mapping[str, Mapping[str, float]]) -> Iterable[Line]:
    """Each phase with its sum; the peak of a plan is the largest sum, which a star marks."""
    peaks = [max(terms, key=lambda phase: sum(terms[phase].values()), default="") for terms in (left, right)]
    for phase in _both(left, right):
        section = f"memory: {phase.replace('_', ' ')}"
        a, b = left.get(phase, {}), right.get(phase, {})
        yield from _terms(section, a, b, "B")
        where = [f" of the {side}" for side, peak in zip(("first", "second"), peaks, strict=True) if peak == phase]
        peak = " (the peak)" if len(where) == 2 else f" (the peak{where[0]})" if where else ""
        yield Line(section, f"sum{peak}", sum(a.values()), sum(b.values()), "B")


def _terms(section: str, left: Mapping[str, float], right: Mapping[str, float], unit: str) -> Iterable[Line]:
    """Terms that are something in one of the two."""
    for name in _both(left, right):
        if left.get(name) or right.get(name):
            yield Line(section, name, left.get(name), right.get(name), unit)


def _predictions(section: str, left: object, right: object, names: Iterable[str]) -> Iterable[Line]:
    for name in names:
        a: Prediction | None = getattr(left, name)
        b: Prediction | None = getattr(right, name)
        known = a or b
        if known is not None:
            yield Line(section, name, a.value if a else None, b.value if b else None, known.unit)


def _words(section: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterable[Line]:
    """What is not the same in both."""
    for name in _both(left, right):
        if left[name] != right[name]:
            yield Line(section, name, str(left[name]), str(right[name]))


def _both(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys((*left, *right)))
