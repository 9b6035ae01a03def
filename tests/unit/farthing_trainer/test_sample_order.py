"""Promise 3, its pure part: no way to cut the global batch, no interruption and no rescaling changes what a step reads."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from farthing_trainer.data import BatchPlan, Sequences, TokenStream, sequence_of

LENGTH = 4


def factorisations(global_batch: int) -> list[BatchPlan]:
    """Every way to write a global batch as world × micro-batch × accumulation."""
    divisors = [n for n in range(1, global_batch + 1) if global_batch % n == 0]
    return [
        BatchPlan(world, micro_batch, global_batch // world // micro_batch)
        for world in divisors
        for micro_batch in divisors
        if global_batch % (world * micro_batch) == 0
    ]


def step_of(plan: BatchPlan, steps_made: int) -> list[int]:
    """The samples of one step, micro-batch by micro-batch and rank by rank."""
    parts = [plan.samples(steps_made, rank, micro) for micro in range(plan.accumulation) for rank in range(plan.world)]
    return np.concatenate(parts).tolist()


@given(global_batch=st.integers(1, 96), steps_made=st.integers(0, 2**40))
def test_every_factorisation_takes_the_same_samples_each_once(global_batch: int, steps_made: int):
    want = list(range(steps_made * global_batch, (steps_made + 1) * global_batch))
    for plan in factorisations(global_batch):
        assert plan.global_batch == global_batch
        assert step_of(plan, steps_made) == want, plan


@given(
    global_batch=st.sampled_from([4, 6, 12, 30]),
    sequences=st.integers(5, 200),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_a_run_that_changes_its_cut_at_any_step_reads_what_a_straight_one_reads(
    global_batch: int, sequences: int, seed: int, data: st.DataObject
):
    """A resume is nothing but another plan from the next step on; epochs end wherever they end."""
    plans = data.draw(st.lists(st.sampled_from(factorisations(global_batch)), min_size=1, max_size=6))
    read = [sequence_of(np.array(step_of(plan, step)), sequences, seed).tolist() for step, plan in enumerate(plans)]
    straight = sequence_of(np.arange(len(plans) * global_batch), sequences, seed)
    assert read == straight.reshape(len(plans), global_batch).tolist()


@given(sequences=st.integers(1, 200), seed=st.integers(0, 2**31), epochs=st.integers(1, 4))
def test_no_sequence_is_read_more_than_one_time_oftener_than_another(sequences: int, seed: int, epochs: int):
    """At any point of a run, so a replayed or skipped sample would show."""
    read = sequence_of(np.arange(sequences * epochs - sequences // 2), sequences, seed)
    counts = np.bincount(read, minlength=sequences)
    assert counts.max() - counts.min() <= 1


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), data=st.data())
def test_a_sequence_is_the_same_tokens_however_the_corpus_is_sharded(lengths: list[int], data: st.DataObject):
    total = sum(lengths)
    tokens = np.arange(total, dtype=np.uint16)
    cut, whole = (Sequences(TokenStream(parts), LENGTH) for parts in (np.split(tokens, np.cumsum(lengths)[:-1]), [tokens]))
    assert len(cut) == len(whole) == max(0, (total - 1) // LENGTH)
    if len(whole):
        number = np.array([data.draw(st.integers(0, len(whole) - 1))])
        for one, other in zip(cut.batch(number), whole.batch(number), strict=True):
            assert one.tolist() == other.tolist()
