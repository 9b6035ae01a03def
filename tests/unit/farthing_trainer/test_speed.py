import pytest

from farthing_trainer.speed import BLOCK_STEPS, Speed


def measured(*seconds: float) -> Speed:
    speed = Speed()
    for one in seconds:
        speed.add(one)
    return speed


def test_nothing_is_known_before_the_first_step():
    speed = Speed()
    assert not speed.known
    assert (speed.typical, speed.mean, speed.slow) == (0.0, 0.0, 0.0)


def test_the_first_step_counts_only_while_it_is_alone():
    assert measured(9.0).slow == 9.0
    assert measured(9.0, 1.0).slow == 1.0


def test_few_steps_promise_what_the_worst_took():
    assert measured(0.0, 1.0, 3.0, 1.0).slow == 3.0


def test_many_steps_promise_the_slow_blocks_not_the_slow_step():
    steady = [1.0] * (BLOCK_STEPS * 10)
    steady[3] = 9.0
    assert measured(0.0, *steady).slow == pytest.approx(2.0)
    assert measured(0.0, *steady).typical == 1.0


def test_the_mean_follows_the_last_block():
    assert measured(0.0, *[1.0] * 20, *[2.0] * BLOCK_STEPS).mean == 2.0
