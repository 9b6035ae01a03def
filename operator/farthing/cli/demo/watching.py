"""Watching the demo's jobs: the live table, and everything that is seen only while it happens."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Group
from rich.live import Live
from rich.text import Text

from farthing.api import BudgetedTrainingJob
from farthing.api.job import CheckpointStatus
from farthing.cli.cluster import Cluster
from farthing.cli.exits import Failed, NotFinished
from farthing.cli.output import words
from farthing.cli.sentences import sentence
from farthing.cli.tables import jobs_table, waiting_for
from farthing.clock import SystemClock

POLL_SECONDS = 1.0
DECISIONS_SHOWN = 4

Jobs = Mapping[str, BudgetedTrainingJob]


@dataclass(slots=True)
class Witness:
    """Looks at the jobs once a second and remembers the checkpoints that it saw, by job and step."""

    cluster: Cluster
    checkpoints: dict[str, dict[int, CheckpointStatus]] = field(default_factory=dict)

    def look(self) -> dict[str, BudgetedTrainingJob]:
        """The jobs of the namespace by name."""
        jobs = {job.metadata.name: job for job in self.cluster.jobs(self.cluster.namespace)}
        for name, job in jobs.items():
            if (newest := job.status.checkpoint) is not None:
                self.checkpoints.setdefault(name, {})[newest.step] = newest
        return jobs

    def until(self, condition: Callable[[Jobs], bool], what: str, *, seconds: float) -> dict[str, BudgetedTrainingJob]:
        """Show the live table until `condition` holds; the jobs as they are then.

        Raises Failed as soon as a job fails, NotFinished naming `what` after `seconds`.
        """
        deadline = time.monotonic() + seconds
        shown = _Lines()
        with Live(console=words, auto_refresh=False, transient=True) as live:
            while True:
                jobs = self.look()
                live.update(_view(jobs, what), refresh=words.is_terminal)
                shown.tell(jobs)
                if condition(jobs):
                    return jobs
                _still_possible(jobs, what, deadline)
                time.sleep(POLL_SECONDS)


@dataclass(slots=True)
class _Lines:
    """Where there is no terminal: a line whenever a job's state or its last decision changes."""

    told: dict[str, str] = field(default_factory=dict)

    def tell(self, jobs: Jobs) -> None:
        if words.is_terminal:
            return
        for name, job in jobs.items():
            last = sentence(job.status.decisions[-1]) if job.status.decisions else ""
            line = (
                f"{name}: {job.status.state or 'Pending'}, step {_step(job)}, {last or waiting_for(job) or 'no decision yet'}"
            )
            key = f"{job.status.state} {last}"
            if self.told.get(name) != key:
                self.told[name] = key
                words.print(f"  {line}", markup=False, soft_wrap=True)


def _view(jobs: Jobs, what: str) -> Group:
    recent = sorted(
        ((decision.time, name, sentence(decision)) for name, job in jobs.items() for decision in job.status.decisions)
    )[-DECISIONS_SHOWN:]
    lines = [Text(f"{moment}  {name}: {said}", style="dim", overflow="ellipsis", no_wrap=True) for moment, name, said in recent]
    return Group(jobs_table(list(jobs.values()), SystemClock().now()), *lines, Text(f"waiting: {what}", style="italic"))


def _still_possible(jobs: Jobs, what: str, deadline: float) -> None:
    for name, job in jobs.items():
        if job.status.state == "Failed":
            raise Failed(f"{name} failed while waiting for {what}: {waiting_for(job)}")
    if time.monotonic() > deadline:
        states = "; ".join(f"{name}: {job.status.state}, {waiting_for(job) or _step(job)}" for name, job in jobs.items())
        raise NotFinished(f"not so in time: {what} ({states or 'no jobs'})")


def _step(job: BudgetedTrainingJob) -> int:
    return job.status.progress.step if job.status.progress else 0
