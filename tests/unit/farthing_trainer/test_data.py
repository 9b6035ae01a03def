import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing_trainer.data import BatchPlan, Sequences, TokenStream, permute, sequence_of


@given(count=st.integers(1, 3000), key=st.integers(0, 2**40))
def test_a_permutation_visits_everything_once(count: int, key: int):
    image = permute(np.arange(count), count, key)
    assert sorted(image.tolist()) == list(range(count))


def test_another_key_is_another_order():
    assert permute(np.arange(1000), 1000, 1).tolist() != permute(np.arange(1000), 1000, 2).tolist()


def test_the_order_is_pinned_so_that_no_release_changes_a_running_job():
    assert sequence_of(np.arange(8), 10, seed=0).tolist() == PINNED


PINNED = [6, 1, 7, 8, 5, 9, 2, 4]


def test_every_epoch_visits_every_sequence_in_a_new_order():
    first, second = (sequence_of(np.arange(e * 50, (e + 1) * 50), 50, seed=3).tolist() for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


@given(start=st.integers(0, 10_000), sequences=st.integers(1, 300), seed=st.integers(0, 1000))
def test_a_sample_does_not_depend_on_what_it_is_asked_with(start: int, sequences: int, seed: int):
    together = sequence_of(np.arange(start, start + 16), sequences, seed)
    alone = [int(sequence_of(np.array([index]), sequences, seed)[0]) for index in range(start, start + 16)]
    assert together.tolist() == alone


@given(
    world=st.sampled_from([1, 2, 4]),
    micro=st.sampled_from([1, 2]),
    accumulation=st.sampled_from([1, 3]),
    step=st.integers(0, 99),
)
def test_a_step_takes_the_same_samples_whatever_cuts_it(world: int, micro: int, accumulation: int, step: int):
    plan = BatchPlan(world, micro, accumulation)
    parts = [plan.samples(step, rank, m).tolist() for m in range(accumulation) for rank in range(world)]
    taken = [sample for part in parts for sample in part]
    assert taken == list(range(step * plan.global_batch, (step + 1) * plan.global_batch))


def a_stream(*lengths: int) -> TokenStream:
    ids = np.arange(sum(lengths), dtype=np.uint16)
    return TokenStream(np.split(ids, np.cumsum(lengths)[:-1]))


@pytest.mark.parametrize("lengths", [(100,), (10, 90), (1, 1, 98), (33, 33, 34)])
def test_shards_do_not_show(lengths: tuple[int, ...]):
    stream = a_stream(*lengths)
    assert len(stream) == 100
    for start in (0, 7, 31, 60):
        assert stream.slice(start, 35).tolist() == list(range(start, start + 35))


def test_targets_are_the_inputs_one_further_on():
    inputs, targets = Sequences(a_stream(20, 21), 8).batch(np.array([0, 4]))
    assert inputs.tolist() == [list(range(8)), list(range(32, 40))]
    assert (targets == inputs + 1).all()
    assert inputs.dtype == np.int64


@pytest.mark.parametrize(("tokens", "want"), [(41, 5), (40, 4), (8, 0), (0, 0)])
def test_a_sequence_needs_one_token_more_than_its_length(tokens: int, want: int):
    assert len(Sequences(a_stream(tokens), 8)) == want
