from decimal import Decimal

from tests.unit.ledger.builders import ENDS, after, attempt, pod, progress, quote, record, running, settled, unbound

from farthing.api.amounts import Axis
from farthing.api.conditions import Reason
from farthing.api.spend import SpendRecordStatus
from farthing.ledger.forecast import budget_at_risk, burn_rate, projected_end

LIVE = (running(0), running(1))


def test_burn_rate_is_per_hour_at_the_quote_in_force() -> None:
    assert burn_rate(attempt(unbound(0)), after(50)) == {}
    assert burn_rate(attempt(*LIVE), after(50)) == {Axis.COST: Decimal("1.0"), Axis.ACCELERATOR_HOURS: Decimal(2)}
    dearer = record(status=SpendRecordStatus(quotes=[quote("0.7", at=40)]))
    assert burn_rate(attempt(*LIVE, record=dearer), after(50))[Axis.COST] == Decimal("1.4")
    assert Axis.COST not in burn_rate(attempt(*LIVE, record=record(price=None)), after(50))


def test_flops_and_tokens_burn_as_reported() -> None:
    told = attempt(*LIVE, progress=progress(10, tokens_per_second=100.0))
    assert burn_rate(told, after(50))[Axis.TOKENS] == 360_000
    assert burn_rate(told, after(50))[Axis.FLOPS] == 360_000 * 10**5
    first = attempt(*LIVE, progress=progress(0, tokens_per_second=100.0))
    assert Axis.FLOPS not in burn_rate(first, after(50))


def test_the_end_is_the_trainers_estimate_or_the_lease() -> None:
    assert projected_end(attempt(unbound(0)), after(50)) is None
    assert projected_end(attempt(*LIVE), after(50)) == after(1 + ENDS.trainer)
    told = attempt(*LIVE, progress=progress(10, eta_seconds=30.0), progress_at=after(40))
    assert projected_end(told, after(50)) == after(70)
    slow = attempt(*LIVE, progress=progress(10, eta_seconds=3000.0))
    assert projected_end(slow, after(50)) == after(1 + ENDS.trainer)


def test_no_risk_while_all_is_well_or_over() -> None:
    assert budget_at_risk(attempt(*LIVE), after(1 + ENDS.pod + ENDS.grace)) is None
    assert budget_at_risk(attempt(pod(0), pod(1)), after(500)) is None
    assert budget_at_risk(attempt(*LIVE, record=settled(1)), after(500)) is None


def test_an_unreachable_node_is_a_risk() -> None:
    risk = budget_at_risk(attempt(*LIVE, unreachable_nodes=("n1",)), after(101))
    assert risk is not None
    assert risk.reason is Reason.NODE_UNREACHABLE
    assert "n1" in risk.message
    assert "1m56s" in risk.message
    assert risk.numbers["heldSeconds"] == "100"


def test_outliving_the_pods_end_is_a_risk() -> None:
    risk = budget_at_risk(attempt(*LIVE), after(1 + ENDS.pod + ENDS.grace + 9))
    assert risk is not None
    assert risk.reason is Reason.DEADLINE_EXCEEDED
    assert risk.message.startswith("still running 9 s after")
