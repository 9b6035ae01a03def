"""The planner's memory of a CPU process against real runs, in short; the long form is tests/benchmarks/cpu_memory.py."""

import pytest
from tests.support.footprint import Setting, measure, predicted
from tests.support.trainer import Home

ERROR = 0.08
"""Of the whole resident set; docs/results/cpu-memory.md has what was measured, and the layouts whose error is larger."""

SETTINGS = (
    Setting("one process", 384, 8, 6, 6, 1024, 8192, False, 128, 2),
    Setting("recomputed", 256, 8, 8, 4, 704, 8192, False, 256, 2, checkpointing="Full"),
    Setting("two processes", 256, 8, 8, 4, 704, 8192, False, 128, 2, processes=2),
)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_resident_set_is_the_predicted_one(setting: Setting, home: Home):
    memory = predicted(setting).memory
    found = measure(setting, home)
    assert memory.expected_bytes == pytest.approx(found.resident, rel=ERROR)
    assert memory.safe_bytes >= found.resident
