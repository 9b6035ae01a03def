"""Sequences that longer runs of the state machine found, kept as they were shrunk: the short run takes other ways."""

from tests.unit.engine.test_state_machine import LIMITS, Farm

from farthing.simulator.trainer import Behaviour


def a_farm(*, native: bool) -> Farm:
    farm = Farm()
    trainers = [Behaviour(tokens_per_second=500.0), Behaviour(tokens_per_second=500.0)]
    farm.begin(native=native, account=None, deadline=False, trainers=trainers, limits=[LIMITS[0]] * 2)
    return farm


def test_a_leader_that_sleeps_through_a_whole_attempt_starts_it_no_second_time() -> None:
    farm = a_farm(native=True)
    farm.the_operator_is_away(seconds=1)
    farm.the_operator_will_be_paused_at_a_write(write=3, cycles=5)
    farm.much_time_passes(cycles=1)
    farm.the_books_and_the_world_agree()
    farm.teardown()


def test_a_cache_of_records_that_lags_does_not_set_the_newest_checkpoint_back() -> None:
    farm = a_farm(native=False)
    steps = [(5, 2), (5, 6), (60, 2), (60, 6)]
    farm.a_leader_falls_asleep()
    farm.much_time_passes(cycles=1)
    farm.every_watch_starts_anew()
    for period, cycles in steps:
        farm.operators.run(cycles, period=period)
        farm.the_books_and_the_world_agree()
    farm.watches_hang(kinds={"records"})
    farm.much_time_passes(cycles=1)
    farm.the_books_and_the_world_agree()
    farm.teardown()
