"""Learning from measured runs: how far one value reaches, that nonsense cannot poison, and that nothing is lost on the way."""

from dataclasses import replace
from math import exp, inf, log, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec
from farthing.planner.learning import KEPT, MEMORY, REFUSED, THROUGHPUT, Evidence, Learning, Triple, learn_all

HERE = Triple("llama", "fsdp", "H100")
SAME_CARD = Triple("llama", "zero1", "H100")
OTHER_CARD = Triple("llama", "fsdp", "A100")
STRANGER = Triple("gemma", "ddp", "L4")

names = st.sampled_from(["p", "q", "r"])
triples = st.builds(Triple, names, names, names)
ratios = st.floats(0.2, 5.0)


def run(ratio, origin="job-1/0", triple=HERE, quantity=THROUGHPUT):
    return Evidence(quantity, triple, ratio * 1000.0, 1000.0, "tokens/s", origin, "2026-01-01T00:00:00Z")


@st.composite
def histories(draw):
    pairs = draw(st.lists(st.tuples(ratios, triples, st.sampled_from([THROUGHPUT, MEMORY])), max_size=8))
    return tuple(run(ratio, f"job-{i}", triple, quantity) for i, (ratio, triple, quantity) in enumerate(pairs))


def test_one_measured_value_shrinks_the_uncertainty_of_its_kin_by_what_they_share():
    before = Learning().correction(THROUGHPUT, HERE)
    learnt, refused = Learning().learn(run(0.8))
    assert refused is None
    here, card, other, stranger = (learnt.correction(THROUGHPUT, t) for t in (HERE, SAME_CARD, OTHER_CARD, STRANGER))
    assert (before.factor, before.sigma) == (1.0, pytest.approx(0.206, abs=1e-3))
    assert (here.factor, here.sigma) == (pytest.approx(0.811, abs=1e-3), pytest.approx(0.070, abs=1e-3))
    assert here.sigma < card.sigma < stranger.sigma < before.sigma
    assert here.factor < card.factor < other.factor < stranger.factor < 1.0
    assert (card.exact, card.related, card.origins) == (0, 1, ("job-1/0",))


def test_more_runs_that_agree_leave_the_noise_of_a_single_run():
    learnt, _ = learn_all(run(0.8, f"job-{i}") for i in range(KEPT))
    assert learnt.correction(THROUGHPUT, HERE).sigma == pytest.approx(0.053, abs=1e-3)


@pytest.mark.parametrize("value", [nan, inf, -inf, 0.0, -3.0])
def test_no_finite_number_above_0_is_refused_on_either_side(value):
    for name in ("measured", "predicted"):
        state, refused = Learning().learn(replace(run(1.0), **{name: value}))
        assert state == Learning()
        assert name in refused.reason


@pytest.mark.parametrize("ratio", [1000.0, 0.001, REFUSED * 1.01])
def test_a_thousandfold_is_refused_with_its_ratio(ratio):
    state, refused = Learning().learn(run(ratio))
    assert state == Learning()
    assert "times the prediction" in refused.reason


def test_an_unknown_quantity_is_refused():
    assert "not one of" in Learning().learn(run(1.0, quantity="colour"))[1].reason
    with pytest.raises(InvalidSpec):
        Learning().correction("colour", HERE)


@given(st.floats(1.0 / REFUSED, REFUSED))
def test_one_wrong_run_among_five_moves_the_estimate_by_less_than_a_twentieth(ratio):
    good = [run(0.8 + 0.01 * (i - 2), f"job-{i}") for i in range(5)]
    clean, _ = learn_all(good)
    dirty, _ = learn_all([*good, run(ratio, "bad")])
    shift = dirty.correction(THROUGHPUT, HERE).factor / clean.correction(THROUGHPUT, HERE).factor
    assert abs(log(shift)) < 0.05


@given(st.floats(1.0 / REFUSED, REFUSED))
def test_a_lone_run_is_never_believed_beyond_its_bound(ratio):
    learnt, _ = Learning().learn(run(ratio))
    assert abs(log(learnt.correction(THROUGHPUT, HERE).factor)) <= 2.5 * 0.206


def test_the_farther_off_a_lone_run_the_less_it_is_believed():
    factors = [Learning().learn(run(r))[0].correction(THROUGHPUT, HERE).factor for r in (2.0, 3.0, 5.0, 9.0)]
    assert factors == sorted(factors, reverse=True)


def test_runs_that_agree_are_believed_even_far_off():
    learnt, _ = learn_all([run(2.0, "a"), run(2.05, "b"), run(2.1, "c")])
    assert learnt.correction(THROUGHPUT, HERE).factor == pytest.approx(2.02, abs=0.05)


@given(histories())
def test_the_stored_form_reads_back_equal(history):
    learnt, refused = learn_all(history)
    assert not refused
    again = Learning.from_json(learnt.to_json())
    assert again == learnt
    assert again.correction(MEMORY, Triple("p", "q", "r")) == learnt.correction(MEMORY, Triple("p", "q", "r"))


@given(histories(), triples)
def test_evidence_never_makes_less_certain_and_stays_finite(history, triple):
    learnt, _ = learn_all(history)
    correction = learnt.correction(THROUGHPUT, triple)
    assert 0.0 < correction.sigma <= correction.prior_sigma * (1 + 1e-9)
    assert exp(-4) < correction.factor < exp(4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2, "evidence": []}', '{"version": 1, "evidence": [{}]}'])
def test_other_text_is_refused(text):
    with pytest.raises(InvalidSpec):
        Learning.from_json(text)


def test_stored_nonsense_is_refused():
    with pytest.raises(InvalidSpec, match="times the prediction"):
        Learning.from_json(Learning((run(5000.0),)).to_json())


def test_an_origin_counts_once_and_the_oldest_go():
    learnt, _ = learn_all([run(0.7, "a"), run(0.9, "a")])
    assert [e.log_ratio for e in learnt.evidence] == [pytest.approx(log(0.9))]
    full, _ = learn_all(run(0.9, f"job-{i}") for i in range(KEPT + 3))
    assert [e.origin for e in full.evidence] == [f"job-{i}" for i in range(3, KEPT + 3)]


def test_a_corrected_estimate_says_where_it_comes_from():
    estimate = Prediction(1000.0, 0.3, "tokens/s", "roofline")
    learnt, _ = Learning().learn(run(0.8))
    corrected = learnt.correction(THROUGHPUT, HERE, estimate.sigma).apply(estimate)
    assert corrected.value == pytest.approx(805, abs=3)
    assert corrected.sigma < 0.1
    assert all(words in corrected.source for words in ("roofline", "1 measured", "job-1/0"))
    assert Learning().correction(THROUGHPUT, HERE).apply(estimate) == estimate


@pytest.mark.parametrize("prior", [0.0, nan, inf, -1.0])
def test_a_bad_prior_is_refused(prior):
    with pytest.raises(InvalidSpec):
        Learning().correction(MEMORY, HERE, prior)
