"""The decision log in sentences."""

import re
from collections.abc import Sequence

from rich.text import Text

from farthing.api.job import DecisionStatus, PlanStatus


def decision_lines(decisions: Sequence[DecisionStatus]) -> list[Text]:
    """One line a decision, oldest first: when, what, why, with the numbers."""
    return [_line(decision) for decision in sorted(decisions, key=lambda decision: decision.time)]


def sentence(decision: DecisionStatus) -> str:
    """`Request stop: urgent needs its accelerators (Preempted; gain 93 s, start-up 14 s)`."""
    numbers = ", ".join(f"{spoken(name)} {value}" for name, value in decision.numbers.items())
    told = decision.message.rstrip(".")
    behind = "; ".join(part for part in (decision.reason if told else "", numbers) if part)
    return f"{spoken(decision.action).capitalize()}: {told or decision.reason}" + (f" ({behind})" if behind else "")


def spoken(name: str) -> str:
    """`OpenAttempt` and `openAttempt` → `open attempt`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()


def rejected_lines(plan: PlanStatus) -> list[str]:
    """The families that were not chosen, and what killed them."""
    return [f"{rejected.plan}: {rejected.constraint}" for rejected in plan.rejected]


def _line(decision: DecisionStatus) -> Text:
    return Text.assemble((decision.time, "dim"), "  ", sentence(decision))
