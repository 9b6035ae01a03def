"""The API server's own record of what the operator asked and was told, and the rights that a role grants."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from farthing.local.cluster import LocalCluster
from farthing.local.controlplane import audit_log


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A verb on a resource, `name/status` for its status; the core group is empty."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


@dataclass(frozen=True, slots=True)
class Request:
    """One audited request of a user."""

    right: Right
    namespace: str
    name: str
    code: int
    allowed: bool
    message: str


def requests_of(made: LocalCluster, user: str) -> list[Request]:
    """What a service account of the operator's namespace asked for so far, but for discovery."""
    lines = audit_log(made.paths).read_text().splitlines()
    entries = (json.loads(line) for line in lines if line.endswith("}"))
    return [_request(each) for each in entries if each["user"]["username"] == user and "objectRef" in each]


def _request(entry: dict[str, Any]) -> Request:
    reference, status = entry["objectRef"], entry.get("responseStatus") or {}
    sub = reference.get("subresource")
    resource = f"{reference['resource']}/{sub}" if sub else reference["resource"]
    return Request(
        Right(reference.get("apiGroup", ""), resource, entry["verb"]),
        reference.get("namespace", ""),
        reference.get("name", ""),
        int(status.get("code", 0)),
        entry["annotations"].get("authorization.k8s.io/decision") == "allow",
        str(status.get("message", "")),
    )


def granted(role: dict[str, Any]) -> set[Right]:
    """Every right of a Role or ClusterRole."""
    return {right for rule in role["rules"] for right in _of_rule(rule)}


def _of_rule(rule: dict[str, Any]) -> Iterator[Right]:
    for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"]):
        yield Right(group, resource, verb)
