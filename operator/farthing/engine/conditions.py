"""Conditions of a job: observations with a stable time of their last transition."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from farthing.api.conditions import Condition, Reason, find
from farthing.api.conditions import ConditionType as Type
from farthing.domain.decision import Because
from farthing.domain.snapshot import Attempt
from farthing.engine.lifecycle import State
from farthing.engine.situations import Ending, all_bound, all_ready
from farthing.ledger.forecast import Risk
from farthing.units import format_time

Truth = Literal["True", "False", "Unknown"]

UNDER_WAY: Final = frozenset(
    {State.NEW, State.QUEUED, State.OPENED, State.STARTING, State.STOPPING, State.ENDING, State.DELETED}
)
"""States that lead to another one by themselves: kstatus' Reconciling."""
_NUMBER: Final = re.compile(r"\d[\w.]*")


@dataclass(frozen=True, slots=True)
class Fact:
    """What one condition says now."""

    truth: Truth
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the conditions are derived from. `stalled`: the spec cannot be obeyed, or the API server refused."""

    state: State
    attempt: Attempt | None
    ending: Ending | None
    stalled: Because | None
    waiting: Because | None
    suspended_by: str | None
    """What wants the job to hold nothing, in words."""
    planned: bool
    checkpointed: bool
    landing: bool
    risk: Risk | None


def conditions(picture: Picture, previous: Sequence[Condition], generation: int, now: datetime) -> list[Condition]:
    """All conditions in a fixed order; a time moves only with its status, a text only with its meaning."""
    facts = _facts(picture, list(previous))
    return [_condition(kind, facts[kind], find(list(previous), kind), generation, now) for kind in Type if kind in facts]


def same_meaning(left: str, right: str) -> bool:
    """Whether two texts differ in nothing but their numbers: a count-down is no news."""
    return _NUMBER.sub("#", left) == _NUMBER.sub("#", right)


def _condition(kind: Type, fact: Fact, standing: Condition | None, generation: int, now: datetime) -> Condition:
    stays = standing is not None and standing.status == fact.truth
    same = stays and standing is not None and standing.reason == fact.reason and same_meaning(standing.message, fact.message)
    return Condition(
        type=kind,
        status=fact.truth,
        reason=fact.reason,
        message=standing.message if same and standing is not None else fact.message[:4096],
        last_transition_time=standing.last_transition_time if stays and standing is not None else format_time(now),
        observed_generation=generation or None,
    )


def _facts(picture: Picture, previous: list[Condition]) -> Mapping[Type, Fact]:
    facts = {
        Type.PLANNED: _planned(picture, find(previous, Type.PLANNED)),
        Type.ADMITTED: _admitted(picture),
        Type.CAPACITY_READY: _gang(picture, all_bound, "every pod has its node", "the gang is not placed"),
        Type.PODS_READY: _gang(picture, all_ready, "every pod is ready", "not every pod is ready"),
        Type.CHECKPOINTED: _checkpointed(picture),
        Type.BUDGET_AT_RISK: _at_risk(picture),
        Type.LANDING: _flag(picture.landing, Reason.LANDING, "the learning rate decays to its end", Reason.OK),
        Type.COMPLETE: _ended(picture, State.COMPLETE),
        Type.FAILED: _ended(picture, State.FAILED),
        Type.RECONCILING: _reconciling(picture),
        Type.STALLED: _stalled(picture),
    }
    suspended = _suspended(picture, find(previous, Type.SUSPENDED))
    return facts if suspended is None else facts | {Type.SUSPENDED: suspended}


def _flag(value: bool, reason: str, message: str, otherwise: str) -> Fact:
    return Fact("True", reason, message) if value else Fact("False", otherwise)


def _planned(picture: Picture, standing: Condition | None) -> Fact:
    if picture.stalled is not None:
        return Fact("False", picture.stalled.reason, picture.stalled.message)
    if picture.planned:
        return Fact("True", Reason.PLANNED, "the plan and its alternatives stand in status.plan")
    if standing is not None:
        return Fact(standing.status, standing.reason, standing.message)
    return Fact("Unknown", picture.state)


def _admitted(picture: Picture) -> Fact:
    if picture.attempt is not None:
        return Fact("True", Reason.STARTED, "its budget is set aside")
    why = picture.stalled or (picture.ending.because if picture.ending else None) or picture.waiting
    return Fact("False", why.reason, why.message) if why is not None else Fact("False", picture.state)


def _gang(picture: Picture, test: Callable[[Attempt], bool], yes: str, no: str) -> Fact:
    if picture.attempt is None:
        return Fact("False", picture.state)
    if test(picture.attempt):
        return Fact("True", Reason.RUNNING, yes)
    waiting = next((pod for pod in picture.attempt.pods if pod.waiting_reason and not pod.terminal), None)
    detail = f": {waiting.name}: {waiting.waiting_reason} {waiting.waiting_message}"[:1000] if waiting else ""
    return Fact("False", picture.state, f"{no}{detail}")


def _checkpointed(picture: Picture) -> Fact:
    message = "the newest durable checkpoint stands in status.checkpoint"
    return _flag(picture.checkpointed, Reason.CHECKPOINT_DURABLE, message, picture.state)


def _at_risk(picture: Picture) -> Fact:
    if picture.risk is None:
        return Fact("False", Reason.OK)
    return Fact("True", picture.risk.reason, picture.risk.message)


def _ended(picture: Picture, state: State) -> Fact:
    if picture.ending is not None and picture.ending.state is state and picture.state is state:
        return Fact("True", picture.ending.because.reason, picture.ending.because.message)
    return Fact("False", picture.state)


def _suspended(picture: Picture, standing: Condition | None) -> Fact | None:
    """Absent until the first suspension."""
    if picture.state is State.SUSPENDED:
        return Fact("True", Reason.SUSPENDED, f"{picture.suspended_by}; what was spent stays spent")
    return None if standing is None else Fact("False", Reason.RESUMED)


def _reconciling(picture: Picture) -> Fact:
    why = picture.waiting.message if picture.waiting is not None and picture.stalled is None else ""
    return _flag(picture.state in UNDER_WAY and picture.stalled is None, picture.state, why, picture.state)


def _stalled(picture: Picture) -> Fact:
    if picture.stalled is None:
        return Fact("False", Reason.OK)
    return Fact("True", picture.stalled.reason, picture.stalled.message)
