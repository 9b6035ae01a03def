"""How much memory one rank of the trainer used, written down from inside; imports nothing that the trainer does not.

`python -m tests.support.memory_witness --config run.json` is the trainer as it is, which leaves `resident-<rank>.json` in the
folder of FARTHING_WITNESS at its end. `watch_tensors` asks torch's own allocator, and leaves `tensors-<rank>.json`: every
allocation is an event of its profiler, which needs memory itself, so that resident sets come from runs without it.
"""

import json
import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from farthing_trainer import __main__ as trainer

FOLDER = "FARTHING_WITNESS"

marks: list[tuple[int, str]] = [(0, "load")]
"""Nanoseconds since the epoch at which a phase began, in order."""


def resident() -> dict[str, int]:
    """Bytes of the process so far: the peak of the resident set, and what is in it now by kind."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS", "RssAnon", "RssFile")}


def in_phase(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its beginning and end marked."""

    @wraps(function)
    def marked(*arguments: Any, **named: Any) -> Any:
        before = marks[-1][1]
        marks.append((time.time_ns(), name))
        try:
            return function(*arguments, **named)
        finally:
            marks.append((time.time_ns(), before))

    return marked


def watched(train: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """The train stage under torch's profiler of memory."""
    from torch.profiler import ProfilerActivity, profile

    def run(*arguments: Any, **named: Any) -> Any:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            train(*arguments, **named)
        write_down("tensors", by_phase(profiler), folder)

    return run


def by_phase(profiler: Any) -> dict[str, int]:
    """Most bytes held by torch's allocator in each phase."""
    events, found = list(profiler.profiler.kineto_results.experimental_event_tree()), []
    while events:
        event = events.pop()
        events.extend(event.children)
        if event.name == "[memory]":
            found.append((event.start_time_ns, event.typed[1].total_allocated))
    held, phase, at, now = dict.fromkeys({name for _, name in marks}, 0), marks[0][1], 1, 0
    for moment, total in [*sorted(found), (time.time_ns(), 0)]:
        while at < len(marks) and marks[at][0] <= moment:
            phase, at = marks[at][1], at + 1
            held[phase] = max(held[phase], now)
        held[phase], now = max(held[phase], total), total
    return held


def watch_tensors(folder: Path) -> None:
    """Put marks on the phases, and the profiler around all of them."""
    from farthing_trainer import loop, run
    from farthing_trainer.checkpoint import Checkpoints
    from farthing_trainer.optim import Optimizer

    loop.Trainer.run = in_phase("between", loop.Trainer.run)  # type: ignore[method-assign]
    loop.Trainer._gradients = in_phase("gradients", loop.Trainer._gradients)  # type: ignore[method-assign]
    loop.Trainer._gradient_norm = in_phase("optimizer", loop.Trainer._gradient_norm)  # type: ignore[method-assign]
    loop.Trainer._evaluate = in_phase("evaluate", loop.Trainer._evaluate)  # type: ignore[method-assign]
    Optimizer.step = in_phase("optimizer", Optimizer.step)  # type: ignore[method-assign]
    Checkpoints.save = in_phase("save", Checkpoints.save)  # type: ignore[method-assign]
    loop.write_output = in_phase("output", loop.write_output)
    run.train = watched(run.train, folder)


def write_down(what: str, figures: dict[str, int], folder: Path) -> None:
    """Leave this rank's figures in the folder."""
    place = folder / f"{what}-{os.environ.get('RANK', '0')}.json"
    place.write_text(json.dumps(figures), encoding="utf-8")


def main() -> int:
    """Run one rank and write down what it used; returns its exit code."""
    code = trainer.main()
    write_down("resident", resident(), Path(os.environ[FOLDER]))
    return code


if __name__ == "__main__":
    trainer.leave(main())
