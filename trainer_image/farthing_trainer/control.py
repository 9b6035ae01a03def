"""Rank 0's one port: /metrics, /progress, /healthz, POST /checkpoint and POST /lease (contract/handshake.py).

It stands before anything slow is imported, so that an attempt can be asked from its first second.
"""

import hmac
import json
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pydantic import ValidationError

from farthing.contract.handshake import CheckpointRequest, LeaseUpdate
from farthing.contract.names import ROUTE_CHECKPOINT, ROUTE_HEALTH, ROUTE_LEASE, ROUTE_METRICS, ROUTE_PROGRESS
from farthing.contract.runconfig import ControlConfig
from farthing.units import KIB
from farthing_trainer.errors import BadInput
from farthing_trainer.state import Busy, RunState

MAX_BODY_BYTES = 64 * KIB
SOCKET_TIMEOUT_SECONDS = 10.0
_JSON = "application/json"
_TEXT = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


class ControlServer:
    """The port and its threads. `address` is what it is bound to; port 0 takes a free one. Raises BadInput."""

    def __init__(self, config: ControlConfig, state: RunState, expose: Callable[[], bytes]) -> None:
        try:
            self._server = _Server(("0.0.0.0", config.port), _Handler)
        except OSError as error:
            raise BadInput("control.port", config.port, f"it cannot be bound ({error}); choose a free one") from error
        self._server.state = state
        self._server.expose = expose
        self._server.token_file = Path(config.token_file) if config.token_file else None
        self._thread = threading.Thread(target=self._server.serve_forever, name="control", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> "ControlServer":
        """Serve in a thread of its own; returns itself."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: RunState
    expose: Callable[[], bytes]
    token_file: Path | None


class _Refusal(Exception):
    """An answer that is not 200: status and one line that says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = SOCKET_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        """Metrics, progress, health."""
        if self.path == ROUTE_METRICS:
            self._send(HTTPStatus.OK, self.server.expose(), _TEXT)
        elif self.path == ROUTE_PROGRESS:
            self._send(HTTPStatus.OK, self.server.state.progress.to_json().encode())
        elif self.path == ROUTE_HEALTH:
            self._send(HTTPStatus.OK, b"ok\n", _TEXT)
        else:
            self._refuse(self._unknown_route())

    def do_POST(self) -> None:
        """Checkpoint requests and lease updates."""
        routes = {ROUTE_CHECKPOINT: self._post_checkpoint, ROUTE_LEASE: self._post_lease}
        try:
            body = self._read_body()
            self._check_token()
            if self.path not in routes:
                raise self._unknown_route()
            routes[self.path](body)
        except ValidationError as error:
            self._refuse(_Refusal(HTTPStatus.BAD_REQUEST, str(error)))
        except _Refusal as refusal:
            self._refuse(refusal)

    def _post_checkpoint(self, body: bytes) -> None:
        try:
            answer = self.server.state.submit(CheckpointRequest.model_validate_json(body))
        except Busy as busy:
            self._send(HTTPStatus.CONFLICT, busy.answer.to_json().encode())
            return
        status = HTTPStatus.ACCEPTED if answer.state == "Accepted" else HTTPStatus.OK
        self._send(status, answer.to_json().encode())

    def _post_lease(self, body: bytes) -> None:
        ends = self.server.state.move_lease(LeaseUpdate.model_validate_json(body))
        self._send(HTTPStatus.OK, ends.to_json().encode())

    def _check_token(self) -> None:
        token_file = self.server.token_file
        if token_file is None or not token_file.exists():
            raise _Refusal(HTTPStatus.FORBIDDEN, "this run has no control.tokenFile, so it takes no requests")
        expected = f"Bearer {token_file.read_text(encoding='utf-8').strip()}"
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected.encode()):
            raise _Refusal(HTTPStatus.UNAUTHORIZED, "the bearer token is wrong")

    def _read_body(self) -> bytes:
        """The whole body, read before any refusal: a client that is still sending would see a reset, not the answer."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        if int(length) > MAX_BODY_BYTES:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
        return self.rfile.read(int(length))

    def _unknown_route(self) -> _Refusal:
        return _Refusal(HTTPStatus.NOT_FOUND, f"there is no route {self.command} {self.path}")

    def _refuse(self, refusal: _Refusal) -> None:
        self._send(refusal.status, json.dumps({"error": str(refusal)}).encode())

    def _send(self, status: HTTPStatus, body: bytes, content_type: str = _JSON) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Requests go to the debug log: a scrape every few seconds would drown the run's own lines."""
        log.debug(format, *args)
