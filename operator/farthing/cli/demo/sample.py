"""One sample of a finished model, generated in a process of its own: this package never imports torch."""

import json
import subprocess
import sys
from pathlib import Path

from farthing.cli.demo.result import SampleResult
from farthing.cli.exits import Failed

TIMEOUT_SECONDS = 300


def generate(root: Path, weights: Path, prompt: str) -> SampleResult:
    """Run scripts/generate_sample.py on a model folder. Raises Failed with the end of its stderr."""
    command = [sys.executable, str(root / "scripts" / "generate_sample.py"), str(weights), "--prompt", prompt]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"generating a sample from {weights} took more than {TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        raise Failed(f"no sample from {weights}:\n{done.stderr[-2000:]}")
    return SampleResult.model_validate(json.loads(done.stdout.splitlines()[-1]))
