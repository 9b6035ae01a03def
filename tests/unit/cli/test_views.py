"""What people read: rows, bills, sentences. Pure functions over the API's models."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from rich.console import Console

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord
from farthing.api.amounts import Axis
from farthing.api.job import DecisionStatus, Estimate
from farthing.cli.bill import bill_lines, bill_table, total
from farthing.cli.plan import plans_for
from farthing.cli.predictions import error_text, estimates, relative_error, whole_run
from farthing.cli.sentences import decision_lines, sentence, spoken
from farthing.cli.status import _view
from farthing.cli.tables import finished, job_page, jobs_table, waiting_for
from farthing.cli.why import explanation, page
from farthing.domain.plan import Plan
from farthing.engine.opening import ANNOTATION_PLAN
from farthing.planner.corrections import UNEXPLAINED

NOW = datetime(2030, 1, 1, 0, 10, tzinfo=UTC)
THEN = "2030-01-01T00:00:00Z"


def shown(renderable):
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def condition(kind, status="True", reason="Why", message="because"):
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": THEN}


def a_job(**status):
    return BudgetedTrainingJob.model_validate(
        {
            "metadata": {"name": "lm", "namespace": "team", "uid": "u1", "creationTimestamp": THEN},
            "spec": {
                "model": {"preset": "llama-1m"},
                "data": {"train": {"uri": "file:///data/*.py"}},
                "budget": {"limits": {"cost": "0.06"}, "currency": "USD"},
                "checkpoint": {"storage": {"uri": "s3://bucket/x"}},
            },
            "status": status,
        }
    )


def running():
    return a_job(
        state="Running",
        progress={
            "phase": "Training", "step": 40, "lastStep": 900, "loss": "5.4321", "tokensPerSecond": "7100.5",
            "memory": "936.0 MiB", "eta": "2m30s",
        },
        spent={"cost": "0.0123", "tokens": "40960", "flops": "1900000000000"},
        spentText="0.0123 USD",
        budgetText="0.06 USD",
        allocation={"pool": "cpu", "accelerator": "cpu-slot", "pods": 1, "acceleratorsPerPod": 2},
        plan={
            "allocation": {"pool": "cpu", "accelerator": "cpu-slot", "pods": 1, "acceleratorsPerPod": 2},
            "precision": "float32", "sharding": "FullShard", "grouping": "Root", "activationCheckpointing": "None",
            "microBatchSize": 2, "accumulation": 1, "globalBatchSize": 4, "memoryRequest": "2Gi",
            "predictions": {
                "memory": {"value": "1000000000", "low": "990000000", "high": "1e9", "measured": "950000000", "unit": "B"},
                "loss": {"value": "4.9", "unit": "nats"},
            },
            "rejected": [{"plan": "cpu x2 PerLayer", "constraint": "slower (needs 2 s of 1)"}],
        },
        decisions=[
            {"time": "2030-01-01T00:05:00Z", "action": "RequestStop", "reason": "Preempted", "message": "urgent waits.",
             "numbers": {"gain": "93 s"}},
            {"time": THEN, "action": "Start", "reason": "Started", "numbers": {"hardEnd": "210 s", "held": "0.06"}},
        ],
        attempts=[{"name": "lm-abcde-1", "number": 1, "stage": "Train", "phase": "Open", "startTime": THEN}],
    )  # fmt: skip


def a_record(number=1, stage="Train", **status):
    return SpendRecord.model_validate(
        {
            "metadata": {"name": f"lm-abcde-{number}", "namespace": "team"},
            "spec": {
                "job": {"name": "lm", "uid": "u1"}, "attempt": f"lm-abcde-{number}", "number": number, "stage": stage,
                "pool": "cpu", "accelerator": "cpu-slot", "pods": 1, "acceleratorsPerPod": 2, "quote": {"from": THEN},
                "held": {"cost": "0.05"}, "openedAt": THEN,
                "ends": {"trainer": 1, "supervisor": 2, "pod": 3, "job": 4, "hard": 5, "grace": 1, "startupTimeout": 6},
            },
            "status": status,
        }
    )  # fmt: skip


def settled(number, stage, cost, tokens, seconds, outcome, **more):
    interval = {"from": THEN, "to": "2030-01-01T00:01:00Z", "seconds": seconds, "cost": cost}
    return a_record(
        number, stage, phase="Settled", charged={"cost": cost, "acceleratorHours": "0.01"}, outcome=outcome,
        intervals=[interval], lineageTokens=tokens, waste={"startup": "12.4", "checkpoint": "1.5"}, **more,
    )  # fmt: skip


BILL = [
    settled(2, "Train", "0.020000", "41000", 72, "Stopped", firstStep=1, lastStep=40),
    settled(1, "Prepare", "0.003000", "0", 21, "Prepared"),
    settled(3, "Train", "0.030000", "153600", 108, "Landed", firstStep=41, lastStep=150, estimated=True),
]


def test_a_row_says_how_far_and_how_dear():
    text = shown(jobs_table([running()], NOW))

    cells = (
        "team",
        "lm",
        "Running",
        "40/900",
        "5.432",
        "7.1k",
        "936.0 MiB",
        "0.0123 USD",
        "0.06 USD",
        "2m30s",
        "1×2 cpu",
        "10m00s",
    )
    assert [cell for cell in cells if cell not in text] == []


def test_a_new_job_has_a_row_too():
    assert "Pending" in shown(jobs_table([a_job()], NOW))


def test_a_page_has_the_budget_by_axis():
    text = shown(job_page(running(), NOW))

    assert "20.5%" in text
    assert "0.0477" in text
    assert "unlimited" in text
    assert "float32, FullShard by Root" in text
    assert "lm-abcde-1" in text


@pytest.mark.parametrize(
    ("conditions", "want"),
    [
        ([], None),
        ([condition("Planned"), condition("Admitted")], None),
        ([condition("PodsReady", "False", "Landed"), condition("Complete")], None),
        ([condition("Admitted", "False", "Queued", "second in line")], "Queued: second in line"),
        (
            [condition("Planned", "False"), condition("Stalled", reason="MissingPrice", message="pool cpu")],
            "MissingPrice: pool cpu",
        ),
        ([condition("Failed", reason="BackoffLimitExceeded", message="7 of 6")], "BackoffLimitExceeded: 7 of 6"),
    ],
)
def test_why_a_job_waits(conditions, want):
    assert waiting_for(a_job(conditions=conditions)) == want


@pytest.mark.parametrize(
    ("conditions", "want"), [([], False), (["Complete"], True), (["Failed"], True), (["Suspended"], False)]
)
def test_what_is_finished(conditions, want):
    assert finished(a_job(conditions=[condition(kind) for kind in conditions])) is want


def test_a_bill_is_sorted_summed_and_honest_about_bounds():
    lines = bill_lines(BILL)
    text = shown(bill_table(BILL, "Bill"))

    assert [line.stage for line in lines] == ["Prepare", "Train", "Train"]
    assert total(BILL)[Axis.COST] == Decimal("0.053")
    assert total(BILL)[Axis.TOKENS] == Decimal("153600"), "the newest lineage holds the older ones"
    assert total(BILL)[Axis.FLOPS] == 0
    assert [word for word in ("0.053000", "3m21s", "37s", "1–40", "41–150", "Landed (upper bound)") if word not in text] == []


def test_an_open_record_is_a_line_without_charges():
    [line] = bill_lines([a_record()])

    assert (line.seconds, line.charged, line.outcome) == (0, {}, "Open")


def test_decisions_are_sentences_in_order_with_their_numbers():
    lines = [line.plain for line in decision_lines(running().status.decisions)]

    assert lines == [
        f"{THEN}  Start: Started (hard end 210 s, held 0.06)",
        "2030-01-01T00:05:00Z  Request stop: urgent waits (Preempted; gain 93 s)",
    ]


def test_a_decision_without_numbers_has_no_parentheses():
    decision = DecisionStatus(time=THEN, action="Wait", reason="Queued")

    assert sentence(decision) == "Wait: Queued"


@pytest.mark.parametrize(
    ("name", "want"),
    [("OpenAttempt", "open attempt"), ("tokensPerSecond", "tokens per second"), ("step_seconds", "step seconds")],
)
def test_names_are_spoken(name, want):
    assert spoken(name) == want


@pytest.mark.parametrize(
    ("value", "measured", "want"),
    [("110", "100", "+10.0%"), ("90", "100", "-10.0%"), ("100", None, "–"), ("100", "0", "–"), ("2Gi", "1Gi", "+100.0%")],
)
def test_the_error_of_a_prediction(value, measured, want):
    assert error_text(Estimate(value=value, measured=measured)) == want


def first_plan():
    examples = Path(__file__).parents[3] / "examples"
    job = BudgetedTrainingJob.model_validate(yaml.safe_load((examples / "stdlib-lm.yaml").read_text()))
    pool = GPUNodePool.model_validate(yaml.safe_load((examples / "pool.yaml").read_text()))
    return plans_for(job, [pool], NOW).best


def with_plan(record, plan):
    annotations = {ANNOTATION_PLAN: TypeAdapter(Plan).dump_json(plan).decode()}
    return record.model_copy(update={"metadata": record.metadata.model_copy(update={"annotations": annotations})})


def test_the_whole_run_is_held_against_the_plan_that_it_started_with():
    planned = first_plan()
    first = with_plan(BILL[0], planned)

    found = estimates(running().status.plan, [BILL[1], first, BILL[2]])

    assert float(found["memory"].measured) == 950000000, "of the machine the status tells"
    assert float(found["cost"].value) == pytest.approx(planned.cost.value, rel=1e-5)
    assert found["cost"].measured == "0.05", "both train attempts, without prepare"
    assert found["seconds"].measured == "180"
    assert found["tokens"].measured == "153600"


def test_a_run_that_goes_on_has_no_whole_yet():
    assert whole_run([BILL[0], a_record(3)]) == {}
    assert whole_run([]) == {}


def test_no_measurement_no_error():
    assert relative_error(Estimate(value="1")) is None


def test_why_shows_it_all():
    text = shown(page(running(), BILL))

    for word in ("Start: Started", "953.7 MiB", "+5.3%", "slower (needs 2 s of 1)", "STARTUP", "total"):
        assert word in text


def test_why_as_data_has_the_same():
    data = explanation(running(), BILL)

    assert data["job"] == "team/lm"
    assert len(data["decisions"]) == 2
    assert [record["spec"]["number"] for record in data["spendRecords"]] == [2, 1, 3]


def test_why_tells_by_what_a_plan_was_corrected():
    planned = first_plan()
    said = replace(planned.tokens_per_second, source="formula; throughput × 0.83 ± 7% (1 measured) from team/lm attempt 2")
    terms = {phase: {**parts, UNEXPLAINED: -3.0 * 2**20} for phase, parts in planned.memory.terms.items()}
    corrected = replace(planned, tokens_per_second=said, memory=replace(planned.memory, terms=terms))
    records = [with_plan(BILL[0], planned), with_plan(BILL[2], corrected), with_plan(BILL[1], corrected)]

    words = "throughput × 0.83 ± 7% (1 measured) from team/lm attempt 2; memory - 3.0 MiB as measured"
    assert explanation(running(), records)["corrections"] == {"lm-abcde-3": words}, "neither the first nor prepare"
    assert f"lm-abcde-3: {words}" in shown(page(running(), records))
    assert "Planned with what was measured" not in shown(page(running(), BILL))


def test_status_shows_a_table_or_a_page():
    assert "AXIS" not in shown(_view([running()], None))
    assert "AXIS" in shown(_view([running()], "lm"))
