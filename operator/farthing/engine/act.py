"""Phases 4 and 5, reserve and act: carry out the actions of a decision, in order, and say how the job stands afterwards.

Each action is one call of a port, and idempotent. Trouble of one job never stops the others: it is caught by its type, kept in
the result, and the next cycle decides anew. `Refused` stalls the job with the server's text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from farthing.api import SpendRecord
from farthing.api.conditions import Reason
from farthing.api.job_status import RequestStatus
from farthing.contract.handshake import CheckpointAnswer
from farthing.domain.decision import (
    Action,
    AppendQuote,
    Because,
    CleanUpAttempt,
    DeleteJob,
    EndPods,
    Hold,
    LowerDeadline,
    OpenAttempt,
    ReleaseAttempt,
    ReleaseHold,
    RequestCheckpoint,
    SettleAttempt,
    UpdateLease,
)
from farthing.domain.snapshot import Attempt, JobFacts, JobView, Snapshot
from farthing.engine.decide import Decision
from farthing.engine.manifests import ManifestContext, Manifests, attempt_manifests
from farthing.engine.planning import pool_of
from farthing.engine.ports import World
from farthing.engine.situations import stop_request
from farthing.errors import Conflict, FarthingError, LedgerError, Refused, Unreachable, UserError
from farthing.settings import Settings
from farthing.units import format_time


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of a decision: the job as it stands now, what was done, and what went wrong."""

    decision: Decision
    view: JobView | None
    done: tuple[Action, ...] = ()
    refusal: Because | None = None
    """The API server said no: becomes Stalled."""
    trouble: FarthingError | None = None
    """Conflict, Unreachable, or what the books refuse (a race for an account lost): the job's status stays as it is."""
    deleted: bool = False


class Actor:
    """Carries out decisions in the world of one cycle."""

    def __init__(self, world: World, snapshot: Snapshot, settings: Settings) -> None:
        self._world = world
        self._snapshot = snapshot
        self._settings = settings

    async def carry_out(self, decisions: Iterable[Decision]) -> list[Carried]:
        """One after the other: what one start takes from an account, the next one finds gone."""
        return [await self._carry_out(decision) for decision in decisions]

    async def _carry_out(self, decision: Decision) -> Carried:
        carried = Carried(decision, None if decision.case is None else decision.case.view)
        for action in decision.actions:
            try:
                view = await self._do(action, carried.view, self._target(action, decision))
            except (Conflict, Unreachable, LedgerError) as error:
                return replace(carried, trouble=error)
            except (Refused, UserError) as error:
                return replace(carried, refusal=Because(Reason.REFUSED, str(error)))
            carried = replace(carried, view=view, done=(*carried.done, action), deleted=isinstance(action, DeleteJob))
        return carried

    def _target(self, action: Action, decision: Decision) -> Attempt | None:
        """The attempt that the action names."""
        name = getattr(action, "attempt", None)
        if decision.case is None:
            return decision.attempt
        return next((attempt for attempt in decision.case.view.attempts if attempt.name == name), None)

    async def _do(self, action: Action, view: JobView | None, attempt: Attempt | None) -> JobView | None:
        """One action; returns the job's view as it is after it."""
        match action:
            case Hold():
                return view
            case OpenAttempt():
                assert view is not None
                return await self._open(action, view, attempt)
            case ReleaseHold():
                await self._release_hold(action, view)
                return view
            case DeleteJob():
                assert view is not None
                await self._world.delete_job(view.job)
                return view
            case _:
                assert attempt is not None, f"{action} names an attempt that is not in the snapshot"
                return await self._on_attempt(action, view, attempt)

    async def _on_attempt(self, action: Action, view: JobView | None, attempt: Attempt) -> JobView | None:
        match action:
            case ReleaseAttempt():
                await self._world.release(attempt)
            case LowerDeadline(seconds=seconds):
                await self._world.lower_deadline(attempt, seconds)
            case EndPods():
                await self._world.end_pods(attempt)
            case AppendQuote(quote=quote):
                await self._world.append_quote(attempt, quote.to_dict())
            case CleanUpAttempt():
                await self._world.clean_up(attempt)
                return _with_attempt(view, _bare(attempt, attempt.record))
            case SettleAttempt():
                await self._world.settle(action, attempt)
                settled = attempt.record.model_copy(update={"status": action.status})
                return _with_attempt(view, _bare(attempt, settled))
            case UpdateLease():
                await self._update_lease(action, attempt)
            case RequestCheckpoint():
                assert view is not None
                return await self._request(action, view, attempt)
            case _:
                raise AssertionError(f"no such action: {action}")
        return view

    async def _open(self, action: OpenAttempt, view: JobView, attempt: Attempt | None) -> JobView:
        """A start that was cut off is carried on with the very record that stands."""
        pool = pool_of(self._snapshot, action.plan.allocation.pool)
        if pool is None:
            raise Conflict(f"pool {action.plan.allocation.pool} is gone since {action.attempt} was planned")
        record = None if attempt is None else attempt.record
        context = ManifestContext(
            job=view.job,
            pool=pool,
            settings=self._settings,
            native_gangs=self._snapshot.native_gangs,
            opened_at=format_time(self._snapshot.now) if record is None else record.spec.opened_at,
            memory_step=_memory_step(view) if record is None else record.spec.memory_step,
        )
        manifests = attempt_manifests(action, context)
        await self._world.open_attempt(action, view.job, manifests)
        opened = attempt or Attempt(record=SpendRecord.model_validate(manifests.record))
        return _with_own(view, replace(opened, job=_job_facts(manifests)))

    async def _release_hold(self, action: ReleaseHold, view: JobView | None) -> None:
        namespace, name = action.job.split("/", 1)
        await self._world.release_hold(namespace, name, action.attempt, action.account)

    async def _update_lease(self, action: UpdateLease, attempt: Attempt) -> None:
        """A trainer that cannot be told is stopped all the same, by the Job's deadline that comes next."""
        try:
            await self._world.update_lease(attempt, action.update)
        except Unreachable:
            return

    async def _request(self, action: RequestCheckpoint, view: JobView, attempt: Attempt) -> JobView:
        """Written first, sent in the next cycle: what is asked must stand in the status before anybody hears it."""
        standing = stop_request(view, attempt)
        if standing is None:
            return _with_request(view, _written(action, self._snapshot))
        try:
            answer = await self._world.request_checkpoint(attempt, action.request)
        except Unreachable:
            return _with_request(view, standing.model_copy(update={"failures": standing.failures + 1}))
        return _with_request(view, answered(standing, answer, self._settings))


def answered(request: RequestStatus, answer: CheckpointAnswer, settings: Settings) -> RequestStatus:
    """The request with what rank 0 said. A save that failed is given up: the Job's own deadline comes next."""
    if answer.id != request.id:
        return request
    if answer.state == "Failed":
        return request.model_copy(update={"failures": max(request.failures, settings.handshake.failed_posts)})
    if answer.state == "Acknowledged":
        return request.model_copy(update={"acknowledged_step": answer.step or 0, "digest": answer.digest})
    return request


def _written(action: RequestCheckpoint, snapshot: Snapshot) -> RequestStatus:
    return RequestStatus(
        id=action.request.id,
        attempt=action.attempt,
        reason=action.request.reason,
        then=action.request.then,
        requested_at=format_time(snapshot.now),
        deadline=format_time(action.deadline),
    )


def _with_request(view: JobView, request: RequestStatus) -> JobView:
    status = view.job.status.model_copy(update={"request": request})
    return replace(view, job=view.job.model_copy(update={"status": status}))


def _with_attempt(view: JobView | None, attempt: Attempt) -> JobView | None:
    """The same for an attempt whose job may be gone."""
    return None if view is None else _with_own(view, attempt)


def _with_own(view: JobView, attempt: Attempt) -> JobView:
    """The view with this attempt in the place of the one of its name, or added."""
    others = [each for each in view.attempts if each.name != attempt.name]
    ordered = sorted([*others, attempt], key=lambda each: each.record.spec.number)
    return replace(view, attempts=tuple(ordered))


def _bare(attempt: Attempt, record: SpendRecord) -> Attempt:
    """The attempt without children."""
    return replace(attempt, record=record, job=None, pods=(), children=(), progress=None)


def _job_facts(manifests: Manifests) -> JobFacts:
    spec = manifests.job["spec"]
    return JobFacts(
        name=manifests.job["metadata"]["name"],
        uid="",
        suspended=spec["suspend"],
        active_deadline_seconds=spec["activeDeadlineSeconds"],
    )


def _memory_step(view: JobView) -> int:
    return sum(attempt.record.status.outcome == "OutOfMemory" for attempt in view.attempts)
