"""Phase 6, record: statuses that changed, then events for what they tell, then metrics. One write a job at most."""

from collections.abc import Sequence

from farthing.api.job_status import BudgetedTrainingJobStatus, DecisionStatus
from farthing.domain.decision import Action, Because, Hold
from farthing.domain.snapshot import Snapshot
from farthing.engine.act import Carried
from farthing.engine.journal import WARNINGS
from farthing.engine.planning import Case
from farthing.engine.pools import pool_status
from farthing.engine.ports import World
from farthing.engine.situations import managed
from farthing.engine.sizing import pool_sizes
from farthing.engine.status import job_status
from farthing.errors import ClusterError
from farthing.ledger import account
from farthing.settings import Settings


class Scribe:
    """Writes down one cycle. What cannot be written is kept in `troubles` and written by a later cycle."""

    def __init__(self, world: World, snapshot: Snapshot, settings: Settings) -> None:
        self._world = world
        self._snapshot = snapshot
        self._settings = settings
        self.writes = 0
        self.troubles: dict[str, str] = {}

    async def record(self, carried: Sequence[Carried], cases: Sequence[Case]) -> None:
        """Jobs, then pools, then accounts."""
        for each in carried:
            await self._job(each)
        await self._pools(cases)
        await self._accounts(carried)

    async def _job(self, carried: Carried) -> None:
        case, view = carried.decision.case, carried.view
        for action in _acted(carried):
            self._world.decision(type(action).__name__, action.because.reason)
        if case is None or view is None or carried.deleted or not managed(view):
            self._note_homeless(carried)
            return
        if carried.trouble is not None:
            self.troubles[view.key] = str(carried.trouble)
            return
        status = job_status(carried, self._snapshot.now, self._settings)
        previous = case.view.job.status
        try:
            if status != previous:
                await self._world.write_job_status(case.view.job, status.to_dict())
                self.writes += 1
                await self._events(carried, previous, status)
        except ClusterError as error:
            self.troubles[view.key] = str(error)
            return
        self._world.job(case.view.job, status.to_dict())

    def _note_homeless(self, carried: Carried) -> None:
        """Trouble with what no status can tell of: the attempt of a job that is gone, or that another controller manages."""
        attempt, wrong = carried.decision.attempt, carried.trouble or carried.refusal
        if attempt is not None and wrong is not None:
            self.troubles[attempt.name] = wrong.message if isinstance(wrong, Because) else str(wrong)

    async def _events(self, carried: Carried, previous: BudgetedTrainingJobStatus, status: BudgetedTrainingJobStatus) -> None:
        """After the write that they tell of succeeded."""
        assert carried.view is not None
        for entry in fresh(previous.decisions, status.decisions):
            await self._world.emit(carried.view.job, entry.reason, entry.message, warning=entry.reason in WARNINGS)

    async def _pools(self, cases: Sequence[Case]) -> None:
        sizes = pool_sizes(cases, self._snapshot.pools)
        for view in self._snapshot.pools:
            status = pool_status(view, cases, self._snapshot.now, sizes[view.name])
            if status == view.pool.status:
                continue
            try:
                await self._world.write_pool_status(view.name, status)
                self.writes += 1
            except ClusterError as error:
                self.troubles[view.name] = str(error)

    async def _accounts(self, carried: Sequence[Carried]) -> None:
        """What follows from spec, holds and time. An account that a start or a bill just changed waits for the next cycle."""
        touched = {
            f"{each.view.namespace}/{reference.name}"
            for each in carried
            if each.view is not None and _acted(each) and (reference := each.view.job.spec.budget.account_ref) is not None
        }
        for key, budget in self._snapshot.accounts.items():
            status = account.derived(budget, self._snapshot.now)
            if key in touched or status == budget.status:
                continue
            namespace, name = key.split("/", 1)
            try:
                await self._world.write_account_status(namespace, name, status, budget.metadata.resource_version)
                self.writes += 1
            except ClusterError as error:
                self.troubles[key] = str(error)


def _acted(carried: Carried) -> list[Action]:
    """What was done, waiting not counted."""
    return [action for action in carried.done if not isinstance(action, Hold)]


def fresh(before: Sequence[DecisionStatus], after: Sequence[DecisionStatus]) -> list[DecisionStatus]:
    """The entries of `after` that `before` has not."""
    known = list(before)
    return [entry for entry in after if entry not in known]
