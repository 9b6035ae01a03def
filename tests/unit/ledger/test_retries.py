from datetime import timedelta
from typing import Any

import pytest
from tests.unit.ledger.builders import after, record, settled

from farthing.api.spend import SpendRecord
from farthing.domain.outcome import Outcome
from farthing.ledger.retries import LONGEST_DELAY, charged_failures, memory_steps, retry
from farthing.units import format_time


def ended(number: int, outcome: Outcome, exit_code: int | None = None, **facts: Any) -> SpendRecord:
    return settled(number, outcome=outcome.value, exit_code=exit_code, ended_at=format_time(after(100 * number)), **facts)


@pytest.mark.parametrize(
    ("outcome", "exit_code", "charged"),
    [
        (Outcome.FAILED, 1, True),
        (Outcome.PODS_READY_TIMEOUT, 143, True),
        (Outcome.DISRUPTED, 75, True),
        (Outcome.DISRUPTED, 143, False),
        (Outcome.DISRUPTED, 137, False),
        (Outcome.DISRUPTED, None, False),
        (Outcome.STOPPED, 143, False),
        (Outcome.OUT_OF_MEMORY, 76, False),
        (Outcome.LEASE_ENDED, 143, False),
        (Outcome.NEVER_STARTED, None, False),
        (Outcome.DELETED, 143, False),
        (Outcome.LANDED, 0, False),
    ],
)
def test_only_the_attempts_own_fault_is_charged(outcome: Outcome, exit_code: int | None, charged: bool) -> None:
    assert charged_failures([ended(1, outcome, exit_code)]) == int(charged)


def test_open_records_and_records_without_an_outcome_charge_nothing() -> None:
    assert charged_failures([record(), settled(2)]) == 0


def test_memory_steps_count_attempts_that_ran_out_of_memory() -> None:
    assert memory_steps([ended(1, Outcome.OUT_OF_MEMORY), ended(2, Outcome.FAILED), ended(3, Outcome.OUT_OF_MEMORY)]) == 2


def test_the_first_try_and_one_after_a_preemption_start_at_once() -> None:
    assert retry([], 6).not_before is None
    after_a_stop = retry([ended(1, Outcome.FAILED, 1), ended(2, Outcome.STOPPED, 143)], 6)
    assert (after_a_stop.allowed, after_a_stop.not_before, after_a_stop.failures) == (True, None, 1)


def test_the_delay_doubles_with_each_failure_in_a_row() -> None:
    failures = [ended(number, Outcome.FAILED, 1) for number in range(1, 21)]
    delays = [retry(failures[:count], 100).not_before for count in range(1, 4)]
    assert delays == [after(100 + 10), after(200 + 20), after(300 + 40)]
    assert retry(failures, 100).not_before == after(2000) + LONGEST_DELAY


def test_an_attempt_without_an_end_counts_from_its_bill() -> None:
    never = settled(1, outcome=Outcome.FAILED.value, settled_at=format_time(after(7)))
    assert retry([never], 6).not_before == after(7) + timedelta(seconds=10)


def test_the_limit_is_passed_by_one_failure_more() -> None:
    failures = [ended(number, Outcome.FAILED, 1) for number in (2, 1)]
    assert retry(failures, 2).allowed
    refused = retry(failures, 1)
    assert not refused.allowed
    assert refused.reason == "2 failed attempts exceed backoffLimit 1"


def test_a_bad_config_is_never_retried() -> None:
    refused = retry([ended(1, Outcome.BAD_CONFIG, 64, message="data.train.uri: no such file")], 6)
    assert not refused.allowed
    assert "no such file" in refused.reason
