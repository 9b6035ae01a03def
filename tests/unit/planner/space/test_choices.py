"""The predictions of a choice: units, spreads, what is left out where it is unknown."""

from decimal import Decimal

import pytest
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import H100, fixed, question_of

from farthing.api.amounts import Axis
from farthing.planner.energy import MEASURED_SIGMA
from farthing.planner.estimate import WORK_SIGMA
from farthing.planner.space import explore
from farthing.planner.space import sites as module


def best(**changes):
    return explore(question_of(**changes), top=1).choices[0]


def test_what_is_limited_is_certain_and_what_follows_is_not():
    by_work, by_time = best(), best(remaining={Axis.COST: Decimal(20)})
    assert by_work.tokens.sigma == WORK_SIGMA
    assert by_work.seconds.sigma == by_work.step_seconds.sigma
    assert by_time.cost.sigma == WORK_SIGMA
    assert by_time.tokens.sigma == by_time.step_seconds.sigma
    assert best(remaining={Axis.ENERGY: Decimal(5)}).energy.sigma == MEASURED_SIGMA


def test_units():
    choice = best()
    units = [getattr(choice, name).unit for name in ("step_seconds", "tokens", "accelerator_hours", "energy", "cost", "loss")]
    assert units == ["s", "tokens", "accelerator-hours", "kWh", "USD", "nats/token"]


def test_a_measured_start_is_said_so():
    assert "prior" in best().startup_seconds.source
    measured = best(pools=(offer_of("h100", H100, accelerators=1, startup_seconds=77.0),)).startup_seconds
    assert measured.value == 77.0
    assert "measured" in measured.source


def test_energy_is_unknown_without_a_design_power(monkeypatch):
    real = module.device
    monkeypatch.setattr(
        module,
        "device",
        lambda name: module.Device(**{**{f: getattr(real(name), f) for f in module.Device.__slots__}, "watts": float("nan")}),
    )
    assert best().energy is None


def test_notes_say_what_is_not_reckoned():
    assert any("memory traffic" in note for note in best(fixed=fixed(optimizer="muon")).notes)
    assert any("count in full" in note for note in best(pretrained=True, unique_tokens=10**6).notes)
    assert any("wait on the host" in note for note in best(fixed=fixed(offload="true")).notes)
    assert best().notes == ()


def test_signatures_tell_choices_apart():
    choices = explore(question_of(), top=500).choices
    told = {(choice.layout.pool, choice.layout.signature) for choice in choices}
    assert len(told) == len(choices)
    one = best(fixed=fixed(sequence_parallel="true", offload="true"))
    assert "offload" in one.layout.signature
    assert " sp" in one.layout.signature


def test_capacity_is_the_pools_own():
    assert best(pools=(offer_of("h100", H100, memory_bytes=30 * 2**30),)).capacity == pytest.approx(30 * 2**30)
