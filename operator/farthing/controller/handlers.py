"""kopf as the shell of the process: it handles signals, starts, stops and probes; it decides nothing.

Which watch feeds what: the caches are fed by our own informers (`farthing.kube.watches`), one stream a kind, since kopf tells
its handlers neither of objects that were deleted while a watch was down nor of bookmarks, without which neither a correct cache
nor an honest liveness probe can be had. kopf watches one kind more, the one that people write: its handler rings the bell and
returns, so that a user's change starts a cycle even while our own stream reconnects. Nothing is stored in annotations, no
finalizer is set, no kopf handler is retried.
"""

import logging
from typing import Any

import kopf

from farthing.api import GROUP, VERSION
from farthing.controller.wiring import Operator
from farthing.telemetry import logs

_running: list[Operator] = []
"""The one operator of this process, between start-up and clean-up: kopf's handlers are module-level functions."""


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """kopf's own stream: the service account in a pod, else the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
async def startup(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Bend kopf to DESIGN 12 and start the operator."""
    logs.configure()
    # One line for every event that rang the bell.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.queueing.exit_timeout = 1.0
    operator = await Operator.start()
    _running.append(operator)


@kopf.on.cleanup()
async def cleanup(**_: Any) -> None:
    """Give the lease back and close every stream."""
    while _running:
        await _running.pop().stop()


@kopf.on.event(GROUP, VERSION, "budgetedtrainingjobs")
async def changed(namespace: str | None, name: str | None, **_: Any) -> None:
    """Somebody wrote a job: ring the bell."""
    for operator in _running:
        operator.doorbell.ring(f"{namespace}/{name}")


@kopf.on.probe(id="pulse")
async def probe(**_: Any) -> dict[str, Any]:
    """What /healthz says, for kopf's own probe as well."""
    return {"complaints": [complaint for operator in _running for complaint in operator.pulse().complaints()]}
