"""JSON over HTTP to the API server, with every answer turned into a value or one of `farthing.errors`.

A thin layer of aiohttp: the official asynchronous client costs three times the CPU a request and wants a model class for every
answer (research/reliability_perf_ecosystem.md, 6.1); configuration and credentials stay its own (`config`).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import aiohttp

from farthing.errors import Conflict, Refused, Unreachable
from farthing.kube.config import Connection, connect

PatchType = Literal["merge", "json", "apply"]
"""`apply` is server-side apply (`?fieldManager=…` in the path): for people's own manifests, never for an attempt's children."""
PAGE: Final = 500
"""Objects in one page of a list: the API server answers whole clusters in pieces."""
REQUEST_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 300
"""How long the server keeps one watch; ends are normal, the informer resumes."""
SILENCE_SECONDS: Final = 75.0
"""Bookmarks come about once a minute: a watch silent for longer is a dead connection (kopf#1267)."""
MAX_CONNECTIONS: Final = 32
"""Streams of the informers and the requests beside them."""

_PATCH_TYPES: Final = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_METADATA_ONLY: Final = "as={kind};g=meta.k8s.io;v=v1,application/json"


class Gone(Conflict):
    """410: the resourceVersion is too old; list again."""


class Taken(Conflict):
    """409 AlreadyExists: there is an object of that name. Other conflicts of a POST, a quota's for one, do not say so."""


def error_for(status: int, body: str) -> Exception:
    """The error of an answer that is neither success nor 404, with the server's own text."""
    text = _member(body, "message") or f"HTTP {status}"
    if status == HTTPStatus.CONFLICT:
        return Taken(text) if _member(body, "reason") == "AlreadyExists" else Conflict(text)
    if status == HTTPStatus.GONE:
        return Gone(text)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(text)
    return Refused(text)


def _member(body: str, name: str) -> str:
    """A member of a metav1.Status, or the body itself where it is none."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return body.strip()
    return str(parsed.get(name, "")) if isinstance(parsed, dict) else body.strip()


class Client:
    """One pool of connections to one API server. `requests` counts what was sent, by verb."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=connection.tls or True)
        self._session = aiohttp.ClientSession(
            connector=connector, json_serialize=json.dumps, proxy=connection.proxy, headers={"User-Agent": "farthing"}
        )
        self.requests: dict[str, int] = {}
        self.written: dict[tuple[str, str], int] = {}
        """Newest resourceVersion that was written, by (apiVersion, kind). They count as integers (KEP-5504, since 1.35)."""
        self.fence: Callable[[], None] = lambda: None
        """Called before each write: raises Conflict in an operator that is no longer the leader."""

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """A client for the cluster that `config.connect` finds. Raises Unreachable where there is none."""
        return cls(await connect(kubeconfig, context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
        # TLS transports that were cut off report their end in the loop's next turns (aiohttp, "Graceful Shutdown").
        for _ in range(3):
            await asyncio.sleep(0)
        await self._connection.close()

    async def get(self, path: str) -> dict[str, Any] | None:
        """The object, read from a quorum, or None."""
        return await self._send("GET", path)

    async def create(self, path: str, body: Mapping[str, Any], *, fenced: bool = True) -> dict[str, Any]:
        """POST to a collection. Raises Conflict where the name is taken."""
        return _found(await self._write("POST", path, body, fenced=fenced), path)

    async def replace(self, path: str, body: Mapping[str, Any], *, fenced: bool = True) -> dict[str, Any]:
        """PUT. Raises Conflict where `metadata.resourceVersion` is not the newest, or the object is gone."""
        return _found(await self._write("PUT", path, body, fenced=fenced), path)

    async def patch(self, path: str, body: object, kind: PatchType = "merge") -> dict[str, Any] | None:
        """PATCH; None where the object is gone. A failed `test` of a JSON patch is Refused (422)."""
        return await self._write("PATCH", path, body, content_type=_PATCH_TYPES[kind])

    async def delete(self, path: str, *, uid: str | None = None) -> None:
        """DELETE in the background; an object that is gone already is fine. Raises Conflict where `uid` is another's."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        await self._write("DELETE", path, body)

    async def list_items(
        self, path: str, *, selector: str | None = None, fields: str | None = None
    ) -> Sequence[dict[str, Any]]:
        """Every object of a collection from a quorum read, in pages; by labels and fields."""
        items, _ = await self.list_versioned(path, selector=selector, fields=fields)
        return items

    async def list_versioned(
        self, path: str, *, selector: str | None = None, fields: str | None = None, metadata_only: bool = False
    ) -> tuple[list[dict[str, Any]], str]:
        """Every object of a collection and the resourceVersion to watch from. Raises Unreachable where it is not served."""
        items: list[dict[str, Any]] = []
        chosen = {"labelSelector": selector, "fieldSelector": fields}
        query = {"limit": str(PAGE)} | {name: said for name, said in chosen.items() if said}
        headers = _accept("PartialObjectMetadataList") if metadata_only else None
        while True:
            page = await self._send("GET", path, query=query, headers=headers)
            if page is None:
                raise Unreachable(f"{path} is not served: are the resource definitions installed?")
            items += page.get("items") or ()
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = token

    async def watch(
        self,
        path: str,
        version: str,
        *,
        selector: str | None = None,
        metadata_only: bool = False,
        seconds: float = WATCH_SECONDS,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Watch events with bookmarks, until the server ends the stream after `seconds`. Raises Gone, Unreachable."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        if selector:
            query["labelSelector"] = selector
        headers = await self._headers() | (_accept("PartialObjectMetadata") if metadata_only else {})
        # Events are lines of up to 1.5 MB (etcd's limit of one object); aiohttp's own line limit is far below it.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with self._session.get(
                self._connection.server + path, params=query, headers=headers, timeout=timeout
            ) as answer:
                if answer.status != HTTPStatus.OK:
                    raise error_for(answer.status, await answer.text())
                try:
                    async for line in _lines(answer.content):
                        yield _event(line)
                finally:
                    _cut_off(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"watch of {path}: {error or type(error).__name__}") from error

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[str, None]:
        """The lines of an answer that is text (a pod's log), as they come; a log that is followed may be silent for long.

        Raises Refused with the server's text, also where the object is gone; Unreachable.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS)
        url = self._connection.server + path
        try:
            async with self._session.get(url, params=query, headers=await self._headers(), timeout=timeout) as answer:
                if answer.status != HTTPStatus.OK:
                    raise error_for(answer.status, await answer.text())
                async for line in _lines(answer.content):
                    yield line.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"GET {path}: {error or type(error).__name__}") from error

    async def _write(
        self, verb: str, path: str, body: object, *, content_type: str = "application/json", fenced: bool = True
    ) -> dict[str, Any] | None:
        if fenced:
            self.fence()
        answer = await self._send(verb, path, data=json.dumps(body), headers={"Content-Type": content_type})
        version = ((answer or {}).get("metadata") or {}).get("resourceVersion")
        if answer is not None and version:
            key = (answer["apiVersion"], answer["kind"])
            self.written[key] = max(self.written.get(key, 0), int(version))
        return answer

    async def _send(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        data: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        self.requests[verb] = self.requests.get(verb, 0) + 1
        url = self._connection.server + path
        all_headers = await self._headers() | dict(headers or {})
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        try:
            async with self._session.request(
                verb, url, params=query, data=data, headers=all_headers, timeout=timeout
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{verb} {path}: {error or type(error).__name__}") from error
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise error_for(answer.status, text)
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    async def _headers(self) -> dict[str, str]:
        token = await self._connection.authorization()
        return {"Authorization": token} if token else {}


def _cut_off(stream: aiohttp.ClientResponse) -> None:
    """Drop a stream's connection at once: TLS takes leave in turns that a loop which closes right after no longer makes."""
    transport = stream.connection.transport if stream.connection is not None else None
    if transport is not None:
        transport.abort()


def _found(answer: dict[str, Any] | None, path: str) -> dict[str, Any]:
    """A write to something that is gone lost a race: re-read and decide anew."""
    if answer is None:
        raise Conflict(f"{path} is gone")
    return answer


def _accept(kind: str) -> dict[str, str]:
    return {"Accept": f"application/json;{_METADATA_ONLY.format(kind=kind)}"}


def _event(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise error_for(int(status.get("code", HTTPStatus.INTERNAL_SERVER_ERROR)), json.dumps(status))
    return event


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of a stream however long they are."""
    rest = bytearray()
    async for chunk in stream.iter_any():
        rest += chunk
        if b"\n" in chunk:
            *whole, tail = bytes(rest).split(b"\n")
            rest = bytearray(tail)
            for line in whole:
                if line.strip():
                    yield line
