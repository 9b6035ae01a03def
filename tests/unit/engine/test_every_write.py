"""The operator dies at each write of a life with start, preemption, resume, landing, deletion: the same end, the same bill."""

from dataclasses import dataclass

import pytest
from tests.support.lives import PERIOD, Life, a_cluster, a_job, an_account

from farthing.settings import Settings
from farthing.simulator.faults import Crash, OperatorDied

QUICK = Settings.model_validate({"cycle": {"progressThrottle": 600}})
"""Fast numbers are the least interesting writes."""
BUDGET = {"limits": {"cost": "0.06"}, "currency": "USD"}
ACCOUNT = {"name": "team-a"}


@dataclass(frozen=True)
class End:
    """What is compared."""

    outcomes: dict[str, list[str | None]]
    bills: dict[str, list[object]]
    settled: object
    leftovers: int


class Script:
    """One life, told in cycles; the operator may die in any of them and is restarted at once."""

    def __init__(self, native_gangs: bool, account: bool) -> None:
        self.life = Life(a_cluster(), native_gangs=native_gangs, settings=QUICK)
        self.budget = BUDGET | ({"accountRef": ACCOUNT} if account else {})
        if account:
            self.life.cluster.accounts["default/team-a"] = an_account()
        self.log: list[str] = []
        """Every write of the whole life, whichever operator made it."""

    async def play(self, crash_after: int | None = None) -> End:
        """The whole life; the operator dies right after write `crash_after`, counted over the whole life."""
        cluster = self.life.cluster
        cluster.create_job(a_job(budget=self.budget))
        await self._cycles(10, crash_after)
        cluster.create_job(a_job("urgent", priorityClassName="urgent", budget={"limits": {"tokens": "150000"}}))
        await self._cycles(48, crash_after)
        cluster.delete_job("default/urgent")
        await self._cycles(8, crash_after)
        return self._end()

    async def _cycles(self, count: int, crash_after: int | None) -> None:
        for _ in range(count):
            await self._cycle(crash_after)
            self.life.cluster.advance(PERIOD)

    async def _cycle(self, crash_after: int | None) -> None:
        """Everything that is to be done at this moment, by however many operators it takes."""
        for _ in range(20):
            writes = self.life.world.writes
            before = writes.count
            if crash_after is not None and crash_after > len(self.log):
                writes.crash = Crash(before + crash_after - len(self.log), "after")
            try:
                report = await self.life.cycle()
            except OperatorDied:
                report = None
                self.life.restart()
            self.log += writes.log[before:]
            if report is not None and report.quiet:
                return
        raise AssertionError("no end to what is to be done at this moment")

    def _end(self) -> End:
        names = ("tiny", "urgent")
        account = self.life.cluster.accounts.get("default/team-a")
        return End(
            outcomes={name: self.life.outcomes(name) for name in names},
            bills={name: [each.status.charged for each in self.life.records(name)] for name in names},
            settled=None if account is None else (account.status.settled, account.status.holds),
            leftovers=len(self.life.cluster.gangs) + len(self.life.cluster.children),
        )


@pytest.mark.parametrize(
    ("native_gangs", "account", "stride"), [(True, False, 1), (False, True, 3)], ids=["own books", "account, suspended Jobs"]
)
async def test_the_operator_dies_after_each_write(native_gangs: bool, account: bool, stride: int) -> None:
    """Events and pools change nothing that a job's life depends on, so they are not died after."""
    script = Script(native_gangs, account)
    want = await script.play()
    assert want.outcomes == {"tiny": ["Prepared", "Stopped", "Landed"], "urgent": ["Prepared", "Landed"]}
    assert want.leftovers == 0
    deadly = [k for k, what in enumerate(script.log, start=1) if not what.startswith(("event", "pool"))]
    assert len(deadly) > 40
    for k in deadly[::stride]:
        broken = Script(native_gangs, account)
        assert await broken.play(crash_after=k) == want, f"died after write {k}"
