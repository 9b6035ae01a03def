"""The demo without a cluster: what it demands, what it collects, what it writes."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from farthing.api.job import CheckpointStatus
from farthing.cli.demo import storage
from farthing.cli.demo.collect import checkpoints, on_volume
from farthing.cli.demo.conditions import judge
from farthing.cli.demo.deploy import _image, namespace, pool
from farthing.cli.demo.result import (
    AttemptResult,
    CheckpointResult,
    ConditionResult,
    DemoResult,
    JobResult,
    PredictionResult,
    SampleResult,
    StageTime,
)  # fmt: skip
from farthing.cli.demo.setting import LOSS_BOUND, Setting
from farthing.cli.demo.stopwatch import Stopwatch
from farthing.contract.checkpoint import Manifest
from farthing.local.rate import CpuRate, save_rate

ROOT = Path(__file__).parents[3]


def at(minute):
    return f"2030-01-01T00:{minute:02d}:00Z"


def attempt(number, stage, start, end, why, *, first=None, last=None, resumed=None, lost=0):
    return AttemptResult.model_validate(
        {
            "name": f"a-{number}", "stage": stage, "from": at(start), "to": at(end), "first_step": first, "last_step": last,
            "resumed_from": resumed, "why_ended": why, "message": "", "lost_steps": lost, "cost": "0.01",
        }
    )  # fmt: skip


def record(cost, tokens):
    return {"spec": {}, "status": {"phase": "Settled", "charged": {"cost": cost}, "lineageTokens": tokens}}


def a_job(name, limit, spent, attempts, records, steps=()):
    return JobResult(
        name=name, state="Complete", limit=limit, spent=spent, spend_records=records, attempts=attempts,
        checkpoints=[CheckpointResult(step=step, digest="d" * 64, seconds=0.1, kept=True) for step in steps],
        predictions=[], validation_loss=5.0, bits_per_byte=2.8, weights="/w", decisions=[],
    )  # fmt: skip


def patient():
    attempts = [
        attempt(1, "Prepare", 0, 1, "Prepared"),
        attempt(2, "Train", 1, 3, "Stopped", first=1, last=90),
        attempt(3, "Train", 5, 7, "Landed", first=91, last=200, resumed=90),
    ]
    records = [record("0.01", "0"), record("0.02", "92160"), record("0.029", "204800")]
    return a_job("stdlib-lm", {"cost": "0.06"}, {"cost": "0.059", "tokens": "204800"}, attempts, records, (30, 60, 90))


def urgent():
    attempts = [attempt(1, "Train", 3, 5, "Landed", first=1, last=146)]
    return a_job("urgent", {"tokens": "150000"}, {"tokens": "149504"}, attempts, [record("0.01", "149504")], (146,))


SAMPLE = SampleResult(prompt="def", text=" main():")


def verdict(one=None, other=None, sample=SAMPLE, leftovers=()):
    jobs = {"stdlib-lm": one or patient(), "urgent": other or urgent()}
    return {condition.name: condition.holds for condition in judge(jobs, sample, leftovers)}


def broken(**changes):
    return sorted(name for name, holds in verdict(**changes).items() if not holds)


def test_the_story_as_it_should_be():
    assert broken() == []
    assert len(verdict()) == 17


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"state": "Failed"}, "stdlib-lm is complete"),
        ({"spent": {"cost": "0.060001"}}, "stdlib-lm spent no more than its limit"),
        ({"spent": {}}, "stdlib-lm spent no more than its limit"),
        ({"spend_records": [record("0.07", "1")]}, "stdlib-lm spent no more than its limit"),
        ({"limit": {"tokens": "204799"}}, "stdlib-lm spent no more than its limit"),
        ({"spend_records": [{"spec": {}, "status": {"phase": "Open"}}]}, "every bill of stdlib-lm is settled"),
        ({"spend_records": []}, "every bill of stdlib-lm is settled"),
        ({"checkpoints": patient().checkpoints[2:]}, "stdlib-lm had 2 durable checkpoints first"),
        ({"checkpoints": patient().checkpoints[:2]}, "stdlib-lm was stopped by the handshake"),
        ({"validation_loss": LOSS_BOUND}, "stdlib-lm learned"),
        ({"validation_loss": None}, "stdlib-lm learned"),
    ],
)
def test_each_condition_can_fail(changes, want):
    assert broken(one=patient().model_copy(update=changes)) == [want]


def with_attempt(position, **changes):
    job = patient()
    attempts = list(job.attempts)
    attempts[position] = attempts[position].model_copy(update=changes)
    return job.model_copy(update={"attempts": attempts})


@pytest.mark.parametrize(
    ("job", "want"),
    [
        (with_attempt(2, resumed_from=60), ["stdlib-lm resumed where it was"]),
        (with_attempt(2, lost_steps=1), ["stdlib-lm lost no step"]),
        (with_attempt(2, why_ended="Failed"), ["stdlib-lm landed"]),
        (with_attempt(2, from_time=at(2)), ["urgent trained while stdlib-lm was stopped"]),
        (with_attempt(1, to=at(6)), ["urgent trained while stdlib-lm was stopped"]),
    ],
)
def test_each_condition_on_attempts_can_fail(job, want):
    assert broken(one=job) == want


def test_a_job_that_was_killed_was_not_stopped_by_the_handshake():
    assert {"stdlib-lm was stopped by the handshake", "stdlib-lm resumed where it was"} <= set(
        broken(one=with_attempt(1, why_ended="Disrupted"))
    )


def test_no_sample_and_leftovers_are_failures():
    assert broken(sample=None) == ["transformers loads the weights and generates"]
    assert broken(sample=SampleResult(prompt="x", text=" ")) == ["transformers loads the weights and generates"]
    assert broken(leftovers=["Pod/x"]) == ["no attempt left anything behind"]


def write_checkpoint(folder, step, uid="u1", name=None):
    manifest = Manifest(
        job_uid=uid, attempt="a-1", step=step, tokens=step * 1024, next_sample=step * 4, seed=0, signature={}, data_digest="d",
        tokenizer_digest="t", flops=1.0, duration_seconds=0.25, created=at(0), files=(),
    )  # fmt: skip
    target = folder / (name or f"step-{step:08d}")
    target.mkdir(parents=True)
    (target / "manifest.json").write_text(manifest.model_dump_json())
    return hashlib.sha256((target / "manifest.json").read_bytes()).hexdigest()


def test_committed_checkpoints_are_found_on_the_volume(tmp_path):
    digest = write_checkpoint(tmp_path / "job", 30)
    write_checkpoint(tmp_path / "job", 60, uid="another")
    write_checkpoint(tmp_path / "job", 90, name="step-90.tmp.a-1")
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "manifest.json").write_text('{"tokens": 3}')

    assert on_volume(tmp_path, "u1") == {30: CheckpointResult(step=30, digest=digest, seconds=0.25, kept=True)}


def test_checkpoints_that_were_removed_are_remembered():
    seen = {
        step: CheckpointStatus(step=step, tokens="1", uri="u", digest="old", time=at(0), seconds="0.5") for step in (60, 30)
    }
    kept = {60: CheckpointResult(step=60, digest="new", seconds=0.25, kept=True)}

    assert [(point.step, point.digest, point.kept) for point in checkpoints(seen, kept)] == [
        (30, "old", False),
        (60, "new", True),
    ]


def test_the_manual_tells_of_every_field():
    manual = (ROOT / "docs" / "demo.md").read_text()
    parts = (DemoResult, JobResult, AttemptResult, CheckpointResult, PredictionResult, SampleResult, ConditionResult, StageTime)
    fields = {field.alias for part in parts for field in part.model_fields.values()}

    assert sorted(field for field in fields if not re.search(rf"`{field}(\[\])?`", manual)) == []


def test_the_result_is_one_json_object(tmp_path):
    result = DemoResult(
        version="0", started=at(0), seconds=1.0, machine={}, images={}, stages=[], jobs={"urgent": urgent()}, sample=None,
        conditions=[], passed=True,
    )  # fmt: skip

    written = json.loads(result.to_json())
    assert written["jobs"]["urgent"]["attempts"][0]["from"] == at(3)
    assert DemoResult.model_validate(written) == result


def test_uris_of_workers_are_folders_of_this_machine(tmp_path):
    setting = Setting(root=ROOT, out=tmp_path)

    assert setting.on_host("file:///checkpoints/models/x") == tmp_path / "volumes/checkpoints/models/x"
    with pytest.raises(ValueError, match="checkpoint volume"):
        setting.on_host("s3://bucket/x")


def test_the_data_is_the_standard_librarys_sources_and_nothing_else(tmp_path):
    setting = Setting(root=ROOT, out=tmp_path)

    count = storage.copy_standard_library(setting)
    files = [file.relative_to(setting.data) for file in setting.data.rglob("*") if file.is_file()]
    assert count == len(files) > 300
    assert {file.suffix for file in files} == {".py"}
    assert Path("stdlib/asyncio/tasks.py") in files
    assert not [file for file in files if {"test", "site-packages", "__pycache__"} & set(file.parts)]
    assert storage.copy_standard_library(setting) == count


def test_earlier_checkpoints_are_removed_and_the_folder_stays(tmp_path):
    setting = Setting(root=ROOT, out=tmp_path)
    write_checkpoint(setting.checkpoints / "job", 30)
    (setting.checkpoints / "file").write_text("")

    storage.empty_checkpoints(setting)

    assert list(setting.checkpoints.iterdir()) == []


def test_an_image_reference_keeps_its_registrys_port():
    want = {"image.repository": "localhost:5000/farthing/operator", "image.tag": "abc"}

    assert _image("image", "localhost:5000/farthing/operator:abc") == want


def test_the_demos_namespace_is_restricted():
    assert namespace()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_stages_are_timed_also_when_they_fail():
    clock = Stopwatch()
    with pytest.raises(RuntimeError), clock.stage("breaks"):
        raise RuntimeError

    assert [stage.name for stage in clock.stages] == ["breaks"]


def test_the_pool_has_the_rate_that_was_measured_here(tmp_path):
    rate = tmp_path / "rate.json"
    save_rate(CpuRate(5e10, 7e9, 2, "a processor", at(0)), rate)

    spec = pool(rate, Setting(root=ROOT, out=tmp_path))["spec"]
    assert spec["rate"] == {
        "flopsPerSecond": "50000000000", "memoryBytesPerSecond": "7000000000", "source": "measured", "asOf": at(0),
    }  # fmt: skip
    assert spec["price"]["source"] == "example"
    assert spec["acceleratorsPerNode"] == 2
