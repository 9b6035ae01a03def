"""Learning from measured runs: how far one value reaches, that nonsense cannot poison, and that nothing is lost on the way."""

from dataclasses import replace
from math import exp, inf, log, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec
from farthing.planner.evidence import MEMORY, REFUSED, THROUGHPUT, Evidence, Triple
from farthing.planner.learning import KEPT, PARTS, Learning, learn_all, repeated

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
    assert (before.factor, before.sigma) == (1.0, pytest.approx(0.20))
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


def test_an_unsure_estimate_takes_from_a_surer_one_no_more_than_that_one_left_open():
    """What a surer estimate of its kin was off by says nothing of what this one alone does not know."""
    learnt, _ = Learning().learn(run(0.8))
    usual, unsure = (learnt.correction(THROUGHPUT, SAME_CARD, sigma) for sigma in (0.2, 0.4))
    assert unsure.factor == pytest.approx(usual.factor)
    assert unsure.sigma > 0.35


def test_what_two_unsure_estimates_leave_open_beyond_the_usual_is_the_accelerators():
    learnt, _ = Learning().learn(replace(run(0.5), sigma=0.4))
    card, other = (log(learnt.correction(THROUGHPUT, t, 0.4).factor) / log(0.5) for t in (SAME_CARD, OTHER_CARD))
    assert card > 0.85
    assert other < 0.25


@pytest.mark.parametrize("sigma", [0.0, nan, -1.0, inf])
def test_evidence_with_a_deviation_that_is_none_is_refused(sigma):
    assert "deviation" in Learning().learn(replace(run(0.8), sigma=sigma))[1].reason


def test_the_parts_are_the_whole():
    assert sum(PARTS.values()) == pytest.approx(1.0)


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


def test_runs_of_one_plan_speak_for_it_alone():
    one = repeated([run(0.8)])
    assert (one.factor, one.sigma, one.prior_sigma) == (pytest.approx(0.8), pytest.approx(0.0707, abs=1e-3), 0.20)
    assert str(one) == "throughput × 0.80 ± 7% (1 measured with this plan; ± 20% before)"
    several = repeated([run(0.8, "a"), run(0.82, "b"), run(9.0, "wrong")], 0.35)
    assert several.factor == pytest.approx(0.82)
    assert several.sigma < one.sigma < several.prior_sigma
    assert several.origins == ("wrong", "b", "a")


def test_of_two_peaks_the_higher_counts_and_of_two_speeds_the_middle():
    assert repeated([run(1.0, "a", quantity=MEMORY), run(1.2, "b", quantity=MEMORY)]).factor == pytest.approx(1.2)
    assert repeated([run(1.0, "a"), run(1.21, "b")]).factor == pytest.approx(1.1)


def test_a_repetition_never_makes_less_certain_than_a_very_sure_estimate():
    assert repeated([run(1.0)], 0.01).sigma == 0.01


@given(histories(), st.lists(triples, min_size=1, max_size=4), st.floats(0.05, 0.5))
def test_one_posterior_answers_for_many_triples_as_each_correction_does(history, asked, prior):
    learnt, _ = learn_all(history)
    posterior = learnt.posterior(THROUGHPUT)
    assert [posterior.correction(t, prior) for t in asked] == [learnt.correction(THROUGHPUT, t, prior) for t in asked]


def test_three_origins_are_named_and_the_others_counted():
    assert repeated([run(0.8, name) for name in "abcde"]).provenance.endswith("from e, d, c and 2 more")
    assert repeated([run(0.8, "a")]).provenance.endswith("from a")


@given(st.floats(1.0 / REFUSED, REFUSED))
def test_a_lone_run_is_never_believed_beyond_its_bound(ratio):
    learnt, _ = Learning().learn(run(ratio))
    assert abs(log(learnt.correction(THROUGHPUT, HERE).factor)) <= 2.5 * 0.20


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
    learnt, _ = Learning().learn(replace(run(0.8), sigma=0.3))
    corrected = learnt.correction(THROUGHPUT, HERE, estimate.sigma).apply(estimate)
    assert corrected.value == pytest.approx(808, abs=5)
    assert corrected.sigma < 0.12
    assert all(words in corrected.source for words in ("roofline", "1 measured", "job-1/0"))
    assert Learning().correction(THROUGHPUT, HERE).apply(estimate) == estimate


@pytest.mark.parametrize("prior", [0.0, nan, inf, -1.0])
def test_a_bad_prior_is_refused(prior):
    with pytest.raises(InvalidSpec):
        Learning().correction(MEMORY, HERE, prior)
