"""Urgency: the share of a job's slack that is gone."""

from datetime import datetime


def urgency(
    *, now: datetime, created: datetime, deadline: datetime | None, window_end: datetime | None, work_seconds: float
) -> float:
    """0 = nothing presses, 1 = must start now to make it; in between the share of the slack that has passed.

    Slack is the time from the job's creation to its end (the earlier of its deadline and of the end of its account's window,
    after which what the window leaves is lost) less `work_seconds`, the gang time that it still wants, start-up included.
    """
    ends = [end for end in (deadline, window_end) if end is not None]
    if not ends:
        return 0.0
    # In seconds: work may take longer than a date can be moved by.
    slack, left = ((min(ends) - moment).total_seconds() - work_seconds for moment in (created, now))
    if left <= 0 or slack <= 0:
        return 1.0
    return min(1.0, max(0.0, 1.0 - left / slack))
