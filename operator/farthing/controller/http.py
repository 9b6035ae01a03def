"""What kubelet and Prometheus ask on port 8080: /metrics, /healthz, /readyz."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from farthing.telemetry.metrics import CONTENT_TYPE, OperatorMetrics

PORT: Final = 8080
STREAM_SILENCE_SECONDS: Final = 180.0
"""A stream gives a bookmark about once a minute; three missed ones and a reconnect that does not come are a fault."""
CYCLE_SILENCE_SECONDS: Final = 120.0
"""A leader finishes a cycle every few seconds; one that has not for so long hangs."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What liveness is made of: ages in seconds, by stream and of the last finished cycle (None: this one does not lead)."""

    streams: Mapping[str, float]
    cycle: float | None
    failed_task: str | None = None

    def complaints(self) -> tuple[str, ...]:
        """What is wrong, in words; empty while all is well."""
        silent = [
            f"no event or bookmark of {name} for {age:.0f} s"
            for name, age in self.streams.items()
            if age > STREAM_SILENCE_SECONDS
        ]
        if self.cycle is not None and self.cycle > CYCLE_SILENCE_SECONDS:
            silent.append(f"no cycle finished for {self.cycle:.0f} s")
        if self.failed_task:
            silent.append(f"task {self.failed_task} ended")
        return tuple(silent)


def application(
    metrics: OperatorMetrics, pulse: Callable[[], Pulse], unsynced: Callable[[], tuple[str, ...]]
) -> web.Application:
    """The three routes. `unsynced` names the caches that were never listed."""

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def healthy(_: web.Request) -> web.Response:
        return _answer(pulse().complaints())

    async def ready(_: web.Request) -> web.Response:
        return _answer(tuple(f"{kind} not listed yet" for kind in unsynced()))

    app = web.Application()
    app.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", healthy), web.get("/readyz", ready)])
    return app


async def serve(app: web.Application, port: int = PORT) -> web.AppRunner:
    """Listen on every address; `cleanup()` of the answer stops it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def _answer(complaints: tuple[str, ...]) -> web.Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if complaints else HTTPStatus.OK
    return web.Response(status=status, text="\n".join(complaints) or "ok")
