"""A proxy before the API server that counts writes, kills the operator at a chosen one, and breaks what passes.

The operator gets a kubeconfig that points here. The rest of a test speaks to the API server itself. The proxy shows an
operator one room of the cluster (`View`), so that several live side by side on one control plane, each alone.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml
from aiohttp import web
from tests.support.faultproxy_answers import Answers, Fault, Lists, failure
from tests.support.faultproxy_streams import StreamCut, Streams, lines
from tests.support.free_port import free_port

from farthing.kube.config import connect

DONE = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
SHARED = frozenset({"priorityclasses", "storageclasses"})
"""Kinds that belong to no room."""
COLLECTION = re.compile(r"^/(?:api/v1|apis/[^/]+/[^/]+)/(?P<plural>[a-z]+)$")
OBJECT = re.compile(
    r"^/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<subresource>[a-z]+))?)?$"
)
DROPPED_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "content-encoding", "host", "accept-encoding"}
)

Moment = Literal["before", "after"]
"""Of a write at which the operator dies: it never reaches the API server, or it stands and nobody hears the answer."""


@dataclass(frozen=True, slots=True)
class View:
    """What an operator sees of the cluster: one namespace, one pool, the nodes of one room."""

    namespace: str
    pool: str
    nodes: str
    """A label selector."""

    def narrowed(self, path: str, query: dict[str, str]) -> dict[str, str]:
        """The query of a list or watch of a whole kind, narrowed to what is in view."""
        match = COLLECTION.match(path)
        if match is None or match["plural"] in SHARED:
            return query
        one = {
            "nodes": {"labelSelector": self.nodes},
            "gpunodepools": {"fieldSelector": f"metadata.name={self.pool}"},
            "namespaces": {"fieldSelector": f"metadata.name={self.namespace}"},
        }
        return query | one.get(match["plural"], {"fieldSelector": f"metadata.namespace={self.namespace}"})


@dataclass(frozen=True, slots=True)
class Write:
    """One write that reached the proxy. Renewals of the lease are none: they come with time, not with a life."""

    number: int
    """Counted over a whole life, from 1."""
    process: int
    """Which operator behind this proxy wrote it, from 1."""
    changed_before: int
    """How many writes of this process have changed something before it."""
    verb: str
    resource: str
    """Plural, with the subresource."""
    name: str

    def __str__(self) -> str:
        return f"write {self.number} ({self.verb} {self.resource} {self.name})"


@dataclass
class Log:
    """What was written, with the API server's answer (0: it never got there)."""

    answers: list[tuple[Write, int]] = field(default_factory=list)

    def created(self) -> list[tuple[str, str]]:
        """(resource, name) of everything that was created, in order."""
        return [(each.resource, each.name) for each, status in self.answers if each.verb == "POST" and status in DONE]

    def kinds(self) -> set[str]:
        """Verb and resource of everything that was written."""
        return {f"{each.verb} {each.resource}" for each, _ in self.answers}


Deadly = Callable[[Write, int | None], bool]
"""Asked twice of each write: before it goes on (None), and with the API server's answer."""


class FaultProxy:
    """One operator's way to the API server."""

    def __init__(self, server: str, tls: Any, view: View) -> None:
        self.view = view
        self.log = Log()
        self.kill: Callable[[], None] = lambda: None
        """Ends the operator at once."""
        self.killed: list[tuple[Write, Moment]] = []
        self.detained: Callable[[Write], asyncio.Event | None] = lambda write: None
        """What a write waits for before it goes on, as if it were long under way."""
        self._server = server
        self._tls = tls
        self._process = 0
        self._changed = 0
        self._under_way: set[asyncio.Future[web.Response]] = set()
        self._session: aiohttp.ClientSession
        self.mend()

    def mend(self) -> None:
        """No fault from now on."""
        self.deadly: Deadly = lambda write, status: False
        """Whether the operator dies now."""
        self.answers = Answers()
        self.lists = Lists()
        self.streams = Streams()

    def new_process(self) -> None:
        """Another operator starts behind the proxy."""
        self._process += 1
        self._changed = 0

    @asynccontextmanager
    async def serving(self, folder: Path, name: str) -> AsyncIterator[Path]:
        """Serve; the kubeconfig that leads here."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(connector=connector) as self._session:
            await runner.setup()
            port = free_port()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            try:
                yield _kubeconfig(folder / f"{name}.kubeconfig", f"http://127.0.0.1:{port}")
            finally:
                await runner.cleanup()
                await asyncio.gather(*self._under_way)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = self.view.narrowed(request.path, dict(request.query)) if request.method == "GET" else dict(request.query)
        if "watch" in query:
            return await self._stream(request, query)
        body = await request.read()
        write = self._count(request, body)
        if write is None:
            return await self._answer(request, query, body)
        return await self._write(request, query, body, write)

    def _count(self, request: web.Request, body: bytes) -> Write | None:
        match = OBJECT.match(request.path)
        if request.method not in WRITING or match is None or match["plural"] == "leases":
            return None
        resource = "/".join(part for part in (match["plural"], match["subresource"]) if part)
        name = match["name"] or json.loads(body)["metadata"]["name"]
        write = Write(len(self.log.answers) + 1, self._process, self._changed, request.method, resource, name)
        self.log.answers.append((write, 0))
        return write

    async def _write(self, request: web.Request, query: dict[str, str], body: bytes, write: Write) -> web.StreamResponse:
        if self.deadly(write, None):
            return self._kill(request, write, "before")
        if (until := self.detained(write)) is not None:
            await until.wait()
        answer = await self._answer(request, query, body, write)
        status = self.log.answers[write.number - 1][1]
        self._changed += status in DONE
        if self.deadly(write, status):
            return self._kill(request, write, "after")
        return answer

    def _kill(self, request: web.Request, write: Write, moment: Moment) -> web.StreamResponse:
        self.killed.append((write, moment))
        self.kill()
        return _cut(request)

    async def _answer(
        self, request: web.Request, query: dict[str, str], body: bytes, write: Write | None = None
    ) -> web.StreamResponse:
        """The API server's answer, or a fault in its place, or after it."""
        fault = self.answers.fault_of(request.method)
        if fault is not None and not fault.done:
            return await self._fail(request, fault)
        forwarding = asyncio.ensure_future(self._forward(request, query, body, write))
        if write is not None:
            # What has got this far arrives, whatever becomes of its sender.
            self._under_way.add(forwarding)
            forwarding.add_done_callback(self._under_way.discard)
            await asyncio.shield(forwarding)
        answer = await forwarding
        if fault is not None:
            return await self._fail(request, fault)
        if request.method == "GET" and "limit" in query:
            answer.body = self.lists.one_of(request.path_qs, bytes(answer.body))  # type: ignore[arg-type]
        return answer

    async def _forward(self, request: web.Request, query: dict[str, str], body: bytes, write: Write | None) -> web.Response:
        async with self._session.request(
            request.method, self._server + request.path, params=query, data=body or None, headers=_headers(request.headers)
        ) as answer:
            read = await answer.read()
        if write is not None:
            self.log.answers[write.number - 1] = (write, answer.status)
        return web.Response(status=answer.status, body=read, headers=_headers(answer.headers))

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.silent:
            await asyncio.Event().wait()  # until the client gives up, which cancels this
        return failure(fault) if fault.status else _cut(request)

    async def _stream(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        """A watch, line by line through `streams`."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(
            self._server + request.path, params=query, headers=_headers(request.headers), timeout=timeout
        ) as upstream:
            answer = web.StreamResponse(status=upstream.status, headers=_headers(upstream.headers))
            try:
                await answer.prepare(request)
                async for line in self.streams.broken(lines(upstream.content), upstream.ok):
                    await answer.write(line + b"\n")
            except ConnectionResetError:
                return answer  # whoever watched is dead
            except StreamCut:
                return _cut(request)
        return answer


async def fault_proxy(kubeconfig: Path, view: View) -> FaultProxy:
    """A proxy before the cluster of this kubeconfig."""
    connection = await connect(kubeconfig)
    await connection.close()
    return FaultProxy(connection.server, connection.tls, view)


def _headers(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in DROPPED_HEADERS}


def _cut(request: web.Request) -> web.Response:
    """No answer: the connection is gone."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _kubeconfig(file: Path, server: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "proxy", "user": {"token": "none"}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        "current-context": "proxy",
    }
    file.write_text(yaml.safe_dump(config))
    return file
