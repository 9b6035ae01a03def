from decimal import Decimal

import pytest
from tests.unit.ledger.builders import record, settled

from farthing.api.amounts import Axis, amounts
from farthing.api.job import BudgetedTrainingJob
from farthing.errors import InsufficientBudget, LedgerError
from farthing.ledger.jobholds import with_hold, with_settlement, without_hold

HALF = {Axis.COST: Decimal("0.03")}


def job(**limits: str) -> BudgetedTrainingJob:
    return BudgetedTrainingJob.model_validate(
        {
            "metadata": {"name": "lm", "namespace": "team"},
            "spec": {
                "model": {"preset": "llama-1m"},
                "data": {"train": {"uri": "file:///data"}},
                "budget": {"limits": limits or {"cost": "0.06"}, "currency": "USD"},
                "checkpoint": {"storage": {"uri": "file:///checkpoints"}},
            },
        }
    )


def holding(name: str) -> BudgetedTrainingJob:
    return job().model_copy(update={"status": with_hold(job(), name, HALF)})


def test_a_hold_stands_in_the_jobs_own_status() -> None:
    status = with_hold(job(), "lm-1", HALF)
    assert [(hold.attempt, hold.amounts) for hold in status.holds] == [("lm-1", amounts(HALF))]
    again = holding("lm-1")
    assert with_hold(again, "lm-1", HALF) is again.status


def test_a_hold_must_fit_beside_records_and_other_holds() -> None:
    assert with_hold(holding("lm-1"), "lm-2", HALF).holds
    spent = settled(1, charged={Axis.COST: Decimal("0.000001")})
    with pytest.raises(InsufficientBudget, match=r"lm-2 wants to hold 0\.03 cost, and job lm has 0\.029999 left"):
        with_hold(holding("lm-9"), "lm-2", HALF, [spent])
    with pytest.raises(InsufficientBudget):
        with_hold(job(), "lm-2", HALF, [record(number=1, held={Axis.COST: Decimal("0.04")})])


def test_settling_drops_the_hold_and_twice_changes_nothing() -> None:
    once = with_settlement(holding("lm-1").status, "lm-1", HALF)
    assert once.holds == []
    assert with_settlement(once, "lm-1", HALF) is once
    assert without_hold(once, "lm-1") is once


def test_a_charge_above_its_hold_is_a_bug() -> None:
    with pytest.raises(LedgerError, match=r"only 0\.03 were held"):
        with_settlement(holding("lm-1").status, "lm-1", {Axis.COST: Decimal("0.04")})
