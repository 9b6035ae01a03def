"""People with identities of their own: a token or a certificate that the API server checks, no impersonation."""

import itertools
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Literal

from tests.support.manifests import CHART, Manifest

from farthing.api.crd import crds
from farthing.kube import resources as of
from farthing.kube.resources import Resource
from farthing.local import certificates as pki
from farthing.local.cluster import LocalCluster

SYSTEM = "farthing-system"
PATCH_TYPES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}
RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    code: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """Its words, where it refused."""
        return str(self.body.get("message", ""))

    @property
    def done(self) -> bool:
        """Whether it did what was asked."""
        return self.code < 300

    def refuses(self, words: str = "") -> bool:
        """Whether it was a refusal of the right kind: forbidden or invalid, with these words."""
        return self.code in (403, 422) and words in self.message


class Person:
    """Somebody who talks to the API server as themselves."""

    def __init__(self, server: str, tls: ssl.SSLContext, token: str | None, name: str) -> None:
        self._server = server
        self._tls = tls
        self._token = token
        self.name = name

    def ask(
        self,
        verb: str,
        path: str,
        body: object = None,
        *,
        kind: Literal["merge", "json"] = "merge",
        dry: bool = True,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request. Writes are dry runs (admission and all) unless told otherwise."""
        writes = verb != "GET" and "selfsubject" not in path
        url = f"{self._server}{path}" + (f"{'&' if '?' in path else '?'}dryRun=All" if dry and writes else "")
        request = urllib.request.Request(url, method=verb, headers=headers or {})
        request.add_header("Content-Type", PATCH_TYPES[kind] if verb == "PATCH" else "application/json")
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                return Answer(answer.status, _parsed(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _parsed(error.read()))

    def create(self, manifest: Manifest, *, dry: bool = True) -> Answer:
        """POST an object to its collection."""
        return self.ask("POST", _resource(manifest).path(manifest["metadata"].get("namespace")), manifest, dry=dry)

    def patch(self, manifest: Manifest, change: object, subresource: str | None = None, *, dry: bool = True) -> Answer:
        """A merge patch, or a JSON patch where the change is a list, of the object that a manifest describes."""
        kind: Literal["merge", "json"] = "json" if isinstance(change, list) else "merge"
        return self.ask("PATCH", _resource(manifest).of(manifest, subresource), change, kind=kind, dry=dry)

    def replace(self, manifest: Manifest, subresource: str | None = None, *, dry: bool = True) -> Answer:
        """PUT."""
        return self.ask("PUT", _resource(manifest).of(manifest, subresource), manifest, dry=dry)

    def delete(self, manifest: Manifest, *, dry: bool = True) -> Answer:
        """DELETE."""
        return self.ask("DELETE", _resource(manifest).of(manifest), dry=dry)

    def get(self, resource: Resource, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> Answer:
        """GET an object, or list where there is no name."""
        return self.ask("GET", resource.path(namespace, name, sub))

    def may(self, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
        """Their own SelfSubjectAccessReview: `resource` may carry a subresource, an empty namespace means everywhere."""
        plural, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
        attributes |= {"namespace": namespace, "name": name}
        return self._allowed({"resourceAttributes": attributes})

    def may_path(self, verb: str, path: str) -> bool:
        """The same of a path that is no resource."""
        return self._allowed({"nonResourceAttributes": {"verb": verb, "path": path}})

    def _allowed(self, spec: dict[str, Any]) -> bool:
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        answer = self.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        assert answer.done, answer.message
        return bool(answer.body["status"]["allowed"])


def by_token(made: LocalCluster, namespace: str, account: str) -> Person:
    """A service account by a fresh token of its own."""
    token = made.kubectl("create", "token", account, "-n", namespace).strip()
    return Person(made.decisions.server, _trusting(made), token, f"system:serviceaccount:{namespace}:{account}")


def by_certificate(made: LocalCluster, name: str, *groups: str) -> Person:
    """A user by a client certificate that the cluster's authority signed."""
    identity = pki.Identity(f"person-{name}-{next(_numbers)}", name, groups=groups)
    pki.issue(made.paths, identity)
    tls = _trusting(made)
    tls.load_cert_chain(pki.certificate(made.paths, identity), pki.key(made.paths, identity))
    return Person(made.decisions.server, tls, None, name)


def install_chart(made: LocalCluster) -> str:
    """The chart's roles, accounts, classes and policies, without its pods; the manifests, to delete them again."""
    templates = sorted(
        str(file.relative_to(CHART))
        for folder in ("rbac", "policies", "classes")
        for file in (CHART / "templates" / folder).iterdir()
    )
    only = [word for template in templates for word in ("--show-only", template)]
    text = made.helm("template", "farthing", str(CHART), "--namespace", SYSTEM, *only)
    made.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    return text


def service_account(name: str, namespace: str) -> Manifest:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def bound(role: str, account: str, namespace: str, *, user: bool = False) -> Manifest:
    """A binding of a ClusterRole in a namespace, to one of its service accounts or to a user."""
    subject: Manifest = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    if user:
        subject = {"kind": "User", "apiGroup": RBAC, "name": account}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{account}-{role}", "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


def crd_names() -> list[str]:
    """Plurals of our four kinds."""
    return [crd["spec"]["names"]["plural"] for crd in crds()]


def _resource(manifest: Manifest) -> Resource:
    ours = {
        (each.api_version, each.kind): each
        for each in (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, SERVICE_ACCOUNTS)
    }
    return ours.get((manifest["apiVersion"], manifest["kind"])) or of.resource_of(manifest)


def _trusting(made: LocalCluster) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pki.authority(made.paths)))


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"message": text.decode(errors="replace")}
    return parsed if isinstance(parsed, dict) else {"message": str(parsed)}
