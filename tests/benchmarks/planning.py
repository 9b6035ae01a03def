"""How long a plan takes: `python -m tests.benchmarks.planning --out docs/results/planning.json`.

An 8B model on five pools of up to 64 GPUs each, by the search over everything legal (`planner.space.explore`) and by the
plans of one job (`planner.plan`), in process, on one core; and two harder questions. Processor time beside wall time, for a
machine that is busy with other work.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from farthing.api.amounts import Axis
from farthing.api.job import StrategySpec
from farthing.catalog import accelerator, preset
from farthing.contract.shape import shape_from_config
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.models import architecture_from_config
from farthing.planner import plan
from farthing.planner.space import SpaceQuestion, explore

MODEL = "llama-3.1-8b"
PRICES = {
    "H100-80GB-SXM": "2.5", "H200-141GB-SXM": "3.5", "A100-80GB-SXM": "1.5", "B200-180GB-SXM": "6", "A100-40GB-SXM": "1.1",
}  # fmt: skip
"""By accelerator, USD an hour: made up, for the arithmetic alone."""
REPEATS = 5


def pools() -> tuple[PoolOffer, ...]:
    """Five pools of up to eight nodes of eight."""
    return tuple(
        PoolOffer(name.lower(), accelerator(name), 8, 64, Decimal(price), "USD", False, None) for name, price in PRICES.items()
    )


def space_question(model: str, batch: int, sequence: int, remaining: dict[Axis, Decimal], **more: Any) -> SpaceQuestion:
    """A question to the search over everything legal."""
    return SpaceQuestion(model, architecture_from_config(preset(model)), sequence, batch, pools(), remaining, **more)


def job_question() -> PlanRequest:
    """The question that a job of the same model would put to the planner."""
    return PlanRequest(
        shape=shape_from_config(preset(MODEL)),
        adapter="None",
        adapter_parameters=0,
        pretrained=False,
        sequence_length=4096,
        global_batch=64,
        pools=pools(),
        min_accelerators=1,
        max_accelerators=64,
        fixed=StrategySpec(),
        remaining={Axis.COST: Decimal(500)},
        seconds_left=None,
    )


def timed(what: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The answer, and the best of REPEATS in seconds."""
    answer, wall, processor = what(), [], []
    for _ in range(REPEATS):
        began, used = time.perf_counter(), time.process_time()
        what()
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    return answer, {"wallSeconds": round(min(wall), 4), "processorSeconds": round(min(processor), 4)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    money = {Axis.COST: Decimal(500)}
    questions = {
        f"{MODEL}, five pools, 2e9 tokens or 500 USD": space_question(MODEL, 512, 8192, {**money, Axis.TOKENS: Decimal("2e9")}),
        f"{MODEL}, five pools, fine-tuning with adapters": space_question(
            MODEL, 64, 4096, {Axis.TOKENS: Decimal("1e8")}, pretrained=True
        ),
        f"{MODEL}, five pools, a batch of 720 sequences (30 divisors)": space_question(MODEL, 720, 2048, money),
        "llama-3.1-70b, five pools": space_question("llama-3.1-70b", 512, 8192, money),
    }
    found: dict[str, Any] = {}
    for name, question in questions.items():
        answer, seconds = timed(lambda question=question: explore(question))
        found[name] = {"configurations": answer.looked_at, **seconds}
    job = job_question()
    answer, seconds = timed(lambda: plan(job))
    found[f"one job of {MODEL}, five pools"] = {"plans": len(answer.plans), **seconds}
    about = {"machine": platform.machine(), "numpy": np.__version__, "farthing": version("farthing"), "repeats": REPEATS}
    out.write_text(json.dumps({"about": about, "questions": found}, indent=2) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    main()
