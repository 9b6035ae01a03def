"""The trainer's control server in this process, and what a NetworkPolicy lets through."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farthing.contract.progress import Progress
from farthing.contract.runconfig import ControlConfig, End
from farthing_trainer.control import ControlServer
from farthing_trainer.lease import Lease
from farthing_trainer.state import RunState


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody at the port of a run."""

    number: int
    run: RunState

    def post(self, route: str, body: Mapping[str, Any], authorization: str | None) -> int:
        """The status of the answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.number}{route}", json.dumps(body).encode())
        if authorization is not None:
            request.add_header("Authorization", authorization)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def state(self) -> tuple[object, ...]:
        """What a request could have moved."""
        return self.run.open_request(), self.run.lease.budget_end, self.run.lease.trainer_end


@contextmanager
def control_port(token_file: Path | None) -> Iterator[Caller]:
    """The port of a run with this token, or with none."""
    lease = Lease(End(seconds=50), End(seconds=100), End())
    run = RunState(Progress(attempt="a-1", stage="Train", phase="Starting", started="2026-11-24T12:00:00Z"), lease)
    config = ControlConfig(port=0, token_file=str(token_file) if token_file else None)
    server = ControlServer(config, run, bytes).start()
    try:
        yield Caller(server.port, run)
    finally:
        server.close()


def admits(policy: Mapping[str, Any], namespace: str, labels: Mapping[str, str], port: int) -> bool:
    """Whether a policy's ingress lets a pod with these labels in that namespace through to a TCP port (networking/v1)."""
    own = policy["metadata"]["namespace"]
    return any(_rule_admits(rule, own, namespace, labels, port) for rule in policy["spec"].get("ingress") or ())


def _rule_admits(rule: Mapping[str, Any], own: str, namespace: str, labels: Mapping[str, str], port: int) -> bool:
    ports = rule.get("ports")
    if ports and not any(each.get("protocol", "TCP") == "TCP" and each.get("port", port) == port for each in ports):
        return False
    peers = rule.get("from")
    return not peers or any(_is_peer(peer, own, namespace, labels) for peer in peers)


def _is_peer(peer: Mapping[str, Any], own: str, namespace: str, labels: Mapping[str, str]) -> bool:
    """A podSelector alone is about the policy's own namespace."""
    assert set(peer) <= {"podSelector", "namespaceSelector"}
    spaces = peer.get("namespaceSelector")
    here = namespace == own if spaces is None else _selects(spaces, {"kubernetes.io/metadata.name": namespace})
    return here and _selects(peer.get("podSelector") or {}, labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
