"""What no status can tell of is told all the same."""

from typing import Any

from tests.support.lives import Life, a_cluster, a_job

from farthing.errors import Refused


async def test_trouble_with_the_bill_of_a_job_that_is_gone_is_reported() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    life.cluster.delete_job("default/tiny")

    async def refused(*_: Any) -> None:
        raise Refused("status.quotes is append-only")

    life.world.settle = refused  # type: ignore[method-assign]
    told: set[str] = set()
    for _ in range(60):
        told |= set((await life.cycle()).troubles.values())
        life.cluster.advance(2)
    assert "status.quotes is append-only" in told
