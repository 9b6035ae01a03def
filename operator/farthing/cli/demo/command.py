"""`farthing demo`: plays the scenario, writes down what happened, and says whether all of it was as it must be."""

import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from farthing import __version__
from farthing.cli.demo.collect import job_result
from farthing.cli.demo.conditions import judge
from farthing.cli.demo.report import report
from farthing.cli.demo.result import DemoResult, JobResult, SampleResult
from farthing.cli.demo.sample import generate
from farthing.cli.demo.scenario import Outcome, build_images, perform
from farthing.cli.demo.setting import PATIENT, PROMPT, Setting
from farthing.cli.demo.stopwatch import Stopwatch
from farthing.cli.exits import Failed
from farthing.cli.output import console, words
from farthing.cli.steps import Steps
from farthing.cli.up import StateOption, require_root
from farthing.clock import SystemClock
from farthing.local.cluster import LocalCluster
from farthing.local.down import down
from farthing.local.paths import checkout, invoker
from farthing.local.rate import cpu_model
from farthing.local.up import up
from farthing.units import GIB, KIB, format_time

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    state: StateOption = None,
    out: Annotated[Path | None, typer.Option(help="Where everything is written; default: build/demo.")] = None,
    keep: Annotated[bool, typer.Option("--keep/--down", help="Leave the cluster running, or take it away.")] = True,
) -> None:
    """Train two models on this machine: the second interrupts the first, nothing is lost, and both land in their budgets.

    Starts the local cluster, builds what is missing, and ends with 0 only if every condition holds (docs/demo.md).
    """
    require_root("farthing demo")
    setting = Setting(root=checkout(), out=(out or checkout() / "build" / "demo").absolute())
    clock = Stopwatch()
    with clock.stage("start the local cluster"), Steps() as progress:
        cluster = up("Cluster", state, progress=progress)
    result = play(cluster, build_images(cluster, clock), setting, clock)
    _say_goodbye(cluster, setting, keep=keep)
    if not result.passed:
        broken = [condition.name for condition in result.conditions if not condition.holds]
        raise Failed(f"not so: {'; '.join(broken)} (numbers in {setting.result})")


def play(cluster: LocalCluster, images: dict[str, str], setting: Setting, clock: Stopwatch) -> DemoResult:
    """The scenario on a running cluster: perform, collect, judge, print, and write the result's file."""
    started = format_time(SystemClock().now())
    outcome = perform(cluster, images, setting, clock)
    jobs = _results(outcome, setting)
    with clock.stage("generate a sample"), Steps() as progress:
        progress("loading the weights with transformers")
        sample = _sample(jobs[PATIENT], setting)
    conditions = judge(jobs, sample, outcome.leftovers)
    result = DemoResult(
        version=__version__,
        started=started,
        seconds=clock.seconds,
        machine=_machine(),
        images=images,
        stages=clock.stages,
        jobs=jobs,
        sample=sample,
        conditions=conditions,
        passed=all(condition.holds for condition in conditions),
    )
    write(result, setting)
    console().print(report(result, outcome.jobs))
    return result


def write(result: DemoResult, setting: Setting) -> None:
    """Write the result for whoever started this, through sudo too."""
    setting.out.mkdir(parents=True, exist_ok=True)
    setting.result.write_text(result.to_json())
    for path in (setting.out.parent, setting.out, setting.result):
        invoker().own(path)


def _results(outcome: Outcome, setting: Setting) -> dict[str, JobResult]:
    seen = outcome.witness.checkpoints
    return {name: job_result(job, records, seen.get(name, {}), setting) for name, (job, records) in outcome.jobs.items()}


def _sample(job: JobResult, setting: Setting) -> SampleResult | None:
    """None where the weights are missing or do not load: a condition says so, and the result is written all the same."""
    if job.weights is None:
        return None
    try:
        return generate(setting.root, Path(job.weights), PROMPT)
    except Failed as error:
        words.print(str(error), markup=False)
        return None


def _say_goodbye(cluster: LocalCluster, setting: Setting, *, keep: bool) -> None:
    words.print(f"written: {setting.result}", markup=False, soft_wrap=True)
    if not keep:
        with Steps() as progress:
            down(cluster.state, progress)
        return
    words.print(f"look around:  export KUBECONFIG={cluster.kubeconfig}", markup=False, soft_wrap=True)
    words.print("              farthing -n farthing-demo status; farthing -n farthing-demo why stdlib-lm", soft_wrap=True)
    words.print("take it away: farthing down")


def _machine() -> dict[str, str]:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return {
        "processor": cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(total.split()[1]) * KIB / GIB:.1f} GiB",
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
