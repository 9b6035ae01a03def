"""A pinned manifest plans to the plan that was pinned, and keeps the rest of its text."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.cli.pinning import pinned
from farthing.cli.plan_job import plans_for
from farthing.errors import InvalidSpec

ROOT = Path(__file__).parents[3]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
POOL = yaml.safe_load((ROOT / "examples" / "pool.yaml").read_text())
JOBS = ("stdlib-lm", "finetune", "lora", "urgent")


def example(name):
    return (ROOT / "examples" / f"{name}.yaml").read_text()


def job_of(text):
    return BudgetedTrainingJob.model_validate(next(d for d in yaml.safe_load_all(text) if d["kind"] == "BudgetedTrainingJob"))


def pool(name="cpu", **labels):
    return GPUNodePool.model_validate({**POOL, "metadata": {"name": name, "labels": labels}})


def check(text, pools, position=0):
    """Pin the plan at the position, and plan again: it is the only one left."""
    job = job_of(text)
    plan = plans_for(job, pools, NOW).plans[position]
    written = pinned(text, job, plan, pools)

    assert plans_for(job_of(written), pools, NOW).plans == (plan,)
    return written


@pytest.mark.parametrize("name", JOBS)
def test_every_plan_of_every_example_can_be_pinned(name):
    text, pools = example(name), [pool()]
    count = len(plans_for(job_of(text), pools, NOW).plans)

    assert count >= 2
    for position in range(count):
        check(text, pools, position)


@pytest.mark.parametrize("name", JOBS)
def test_every_line_outside_of_compute_stays(name):
    text = example(name)
    written = check(text, [pool()]).splitlines()
    lines = text.splitlines()
    at = lines.index("  compute:")

    assert written[: at + 1] == lines[: at + 1]
    assert written[-len(lines[at + 2 :]) :] == lines[at + 2 :]


def test_what_else_compute_says_is_kept():
    text = example("finetune").replace("  compute:\n", "  compute:\n    spot: Never\n    startupTimeout: 5m\n")
    compute = yaml.safe_load(check(text, [pool()]))["spec"]["compute"]

    assert (compute["spot"], compute["startupTimeout"]) == ("Never", "5m")
    assert compute["strategy"]["sharding"] in ("None", "FullShard")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("  compute:\n    accelerators: {min: 1, max: 2}   # how many is left to the planner\n", ""),
        lambda text: text.replace(
            "compute:\n    accelerators: {min: 1, max: 2}   #", "compute: {accelerators: {min: 1, max: 2}}  #"
        ),
        lambda text: text.replace("compute:\n    accelerators: {min: 1, max: 2}   #", "compute: {}  #"),
        lambda text: "# first\n" + yaml.safe_dump(POOL) + "---\n" + text,
        lambda text: text + "\n---\n" + yaml.safe_dump(POOL),
    ],
    ids=["without compute", "flow compute", "empty compute", "a pool before", "a pool after"],
)
def test_manifests_are_edited_in_place(change):
    text = change(example("finetune"))
    written = check(text, [pool()])

    assert text != example("finetune")
    assert "# gentler than from nothing" in written
    assert [each["kind"] for each in yaml.safe_load_all(written)] == [each["kind"] for each in yaml.safe_load_all(text)]


@pytest.mark.parametrize("with_compute", [True, False])
def test_a_manifest_in_one_line_stays_in_one_line(with_compute):
    manifest = yaml.safe_load(example("finetune"))
    if not with_compute:
        del manifest["spec"]["compute"]
    text = yaml.safe_dump(manifest, default_flow_style=True, width=10**6)

    assert len(check(text, [pool()]).splitlines()) == 1


def test_a_file_may_end_with_compute_and_without_a_line_end():
    manifest = yaml.safe_load(example("finetune"))
    compute = manifest["spec"].pop("compute")
    manifest["spec"]["compute"] = compute
    text = "# mine\n" + yaml.safe_dump(manifest, sort_keys=False).rstrip("\n")

    assert text.endswith("max: 2")
    assert check(text, [pool()]).startswith("# mine\n")


@pytest.mark.parametrize("adapter", ["None", "Auto"])
def test_a_manifest_that_cannot_be_edited_in_place_is_written_anew(adapter):
    text = example("lora").replace("adapter: LoRA", f"adapter: {adapter}").replace("interval: 1m", "interval: *minutes")
    text = text.replace("  data:\n", "  compute: {startupTimeout: &minutes 5m}\n  data:\n", 1)
    text = text.replace("  compute:\n    accelerators: {min: 1, max: 2}\n", "")
    written = yaml.safe_load(check(text, [pool()]))

    assert written["spec"]["checkpoint"]["interval"] == "5m"
    assert written["spec"]["compute"]["startupTimeout"] == "5m"


def test_auto_becomes_the_adapter_that_was_planned_with():
    text = example("lora").replace("adapter: LoRA", "adapter: Auto")
    written = check(text, [pool()])

    assert yaml.safe_load(written)["spec"]["model"]["adapter"] in ("None", "LoRA")


def test_the_pool_is_told_from_others_by_the_one_label_that_does():
    pools = [pool("a", zone="x", kind="small"), pool("b", zone="x", kind="large")]
    names = [plan.allocation.pool for plan in plans_for(job_of(example("finetune")), pools, NOW).plans]
    written = check(example("finetune"), pools, names.index("b"))

    assert yaml.safe_load(written)["spec"]["compute"]["poolSelector"] == {"matchLabels": {"kind": "large"}}


def test_labels_that_tell_it_only_together_are_all_written():
    pools = [pool("a", zone="x", kind="small"), pool("b", zone="x", kind="large"), pool("c", zone="y", kind="small")]
    written = check(example("finetune"), pools)

    assert yaml.safe_load(written)["spec"]["compute"]["poolSelector"] == {"matchLabels": {"zone": "x", "kind": "small"}}


def test_a_selector_that_selects_it_alone_stays():
    pools = [pool("a", zone="x", kind="small"), pool("b", zone="y", kind="small")]
    text = example("finetune").replace("  compute:\n", "  compute:\n    poolSelector: {matchLabels: {zone: y}}\n")
    written = check(text, pools)

    assert yaml.safe_load(written)["spec"]["compute"]["poolSelector"] == {"matchLabels": {"zone": "y"}}


def test_a_pool_without_a_label_of_its_own_cannot_be_pinned():
    with pytest.raises(InvalidSpec, match="a label of its own"):
        check(example("finetune"), [pool("a"), pool("b", zone="x")])
