"""Never over when all goes well: every attempt of the main job that landed did so inside its trainer's end."""

import pytest

from farthing.units import parse_time

pytestmark = pytest.mark.e2e


def test_the_main_jobs_landings_lie_inside_their_trainers_ends(main_job):
    landed = [
        record for job in main_job.jobs.values() for record in job.spend_records if record["status"]["outcome"] == "Landed"
    ]

    assert landed
    for record in landed:
        status = record["status"]
        held = (parse_time(status["endedAt"]) - parse_time(status["startedAt"])).total_seconds()
        assert held - 1 <= record["spec"]["ends"]["trainer"], "the last second billed is one more than the last one held"
