"""`farthing plan`: what a job or a model would buy, by every way of running it, before anything is spent."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import typer

from farthing.cli import plan_compare, plan_job, plan_optimum, plan_options, plan_space
from farthing.cli.output import Format, OutputOption, emit, words
from farthing.cli.pinning import pinned
from farthing.cli.plan_job import plans_for
from farthing.cli.plan_model import GLOBAL_BATCH, Asked, question
from farthing.clock import SystemClock
from farthing.domain.plan import PlanSet
from farthing.errors import InvalidSpec, NoPlan
from farthing.planner import refusal, space

app = typer.Typer(add_completion=False)

SEARCHED = 50
"""Plans that are numbered, so that --compare can name one that is not shown."""


@app.command()
def plan(
    context: typer.Context,
    file: plan_options.File = None,
    pools: plan_options.Pools = None,
    cluster: plan_options.FromCluster = False,
    pin: plan_options.Pin = None,
    to: plan_options.To = None,
    model: plan_options.Model = None,
    pool: plan_options.Pool = None,
    budget: plan_options.Budget = None,
    tokens: plan_options.Tokens = None,
    accelerator_hours: plan_options.AcceleratorHours = None,
    flops: plan_options.Flops = None,
    energy: plan_options.Energy = None,
    deadline: plan_options.Deadline = None,
    sequence_length: plan_options.SequenceLength = None,
    global_batch: plan_options.GlobalBatch = GLOBAL_BATCH,
    framework: plan_options.Framework = "farthing",
    pretrained: plan_options.Pretrained = False,
    adapter: plan_options.Adapter = None,
    lora_rank: plan_options.LoraRank = 16,
    unique_tokens: plan_options.UniqueTokens = None,
    epochs: plan_options.Epochs = None,
    fix: plan_options.Fix = None,
    own_trainer: plan_options.OwnTrainer = False,
    front: plan_options.Front = False,
    optimal: plan_options.Optimal = False,
    top: plan_options.Top = 5,
    why: plan_options.Why = False,
    compare: plan_options.Compare = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show the best plans with memory, speed, cost, time and loss, each ± its 80 % interval. Spends nothing.

    Asked for a job (-f), or for a model and pools in words (--model, --pool and a limit). Ends with 1 where no plan fits.

    No cluster is read unless --cluster, --context or --kubeconfig says so.
    """
    _one_question(context)
    if file is None:
        _of_model(context, top=top, why=why, front=front, optimal=optimal, compare=compare, output=output)
        return
    job, offered = plan_job.job_and_pools(context.obj, file, pools, cluster=cluster)
    plans = plans_for(job, offered, SystemClock().now())
    if plans.best is None:
        raise _refused(plans, why=why)
    if pin is not None:
        _pin(file, to, pinned(_text(file), job, plan_compare.numbered(pin, plans.plans, "--pin"), offered))
    elif compare is not None:
        (a, left), (b, right) = plan_compare.chosen(compare, plans.plans)
        _compare(plan_compare.of_plans(left, right), a, b, output)
    else:
        emit(plan_job.as_data(plans, top), output, lambda: plan_job.page(plans, top, why=why))


def _of_model(
    context: typer.Context, *, top: int, why: bool, front: bool, optimal: bool, compare: str | None, output: Format
) -> None:
    """The other question: a model and pools in words."""
    asked, notes = question(Asked(**{each.name: context.params[each.name] for each in fields(Asked)}))
    answer = space.explore(asked, top=max(top, SEARCHED))
    for note in notes:
        words.print(note, soft_wrap=True)
    if not answer.choices:
        raise _refused(PlanSet(plans=(), rejections=answer.rejections), why=why)
    if compare is not None:
        (a, left), (b, right) = plan_compare.chosen(compare, answer.choices)
        _compare(plan_compare.of_choices(left, right), a, b, output)
        return
    if optimal:
        found = plan_optimum.optima(asked, answer)
        emit(plan_optimum.as_data(found), output, lambda: plan_optimum.page(found))
        return
    positions = plan_space.shown(answer, top, front=front)
    emit(plan_space.as_data(answer, positions, asked), output, lambda: plan_space.page(answer, positions, asked, why=why))


def _refused(plans: PlanSet, *, why: bool) -> NoPlan:
    """The error that says what came closest; with `why` every family is told of first."""
    for rejection in plans.rejections if why else ():
        words.print(f"rejected {rejection}", soft_wrap=True)
    return NoPlan(refusal(plans))


def _compare(lines: Sequence[plan_compare.Line], left: int, right: int, output: Format) -> None:
    emit(plan_compare.as_data(lines, left, right), output, lambda: plan_compare.table(lines, left, right))


def _one_question(context: typer.Context) -> None:
    """Raise InvalidSpec unless it is about a job or about a model, with options of that one alone."""
    file, model, to, pin = (context.params[name] for name in ("file", "model", "to", "pin"))
    if (file is None) == (model is None):
        remedy = "ask either for a job, with -f FILE, or for a model, with --model, --pool and a limit such as --budget 500usd"
        raise InvalidSpec("-f", str(file) if file else None, remedy)
    other = plan_options.OF_MODEL if model is None else plan_options.OF_JOB
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name == "COMMANDLINE"
        if given and getattr(parameter, "rich_help_panel", None) == other:
            remedy = f"it belongs to the other question, {other}; leave it out"
            raise InvalidSpec(parameter.opts[0], str(context.params[parameter.name or ""]), remedy)
    if pin is not None and (context.params["compare"] or context.params["output"] is not Format.TABLE):
        raise InvalidSpec("--pin", str(pin), "it writes a manifest: leave out --compare and -o, or ask for them by themselves")
    if to is not None and pin is None:
        raise InvalidSpec("--to", str(to), "it is where --pin N writes; say which plan to pin")


def _text(file: Path) -> str:
    """The manifest as it is written. Raises InvalidSpec for stdin, which is read by then."""
    if str(file) == "-":
        raise InvalidSpec("--pin", "-f -", "a pinned manifest keeps the text of its file; name the file")
    return file.read_text()


def _pin(file: Path, to: Path | None, text: str) -> None:
    if to is None:
        print(text, end="")
        return
    try:
        to.write_text(text)
    except OSError as error:
        raise InvalidSpec("--to", str(to), f"cannot be written: {error.strerror}") from error
    words.print(f"wrote {to}: {file} with its plan pinned", soft_wrap=True)
