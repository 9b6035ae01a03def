import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.contract.handshake import CheckpointAnswer, LeaseUpdate
from farthing.contract.progress import Progress
from farthing.contract.runconfig import ControlConfig, End, JobIdentity
from farthing_trainer.control import MAX_BODY_BYTES, ControlServer
from farthing_trainer.errors import BadInput
from farthing_trainer.lease import Lease
from farthing_trainer.metrics import Metrics
from farthing_trainer.state import RunState

TOKEN = "secret"
REQUEST = {"id": "r1", "reason": "Preempted", "then": "Stop", "deadlineSeconds": 30}
LEASE = {"id": "l1", "budgetEnd": {"tokens": 5}, "trainerEnd": {"seconds": 999}}


def a_state() -> RunState:
    lease = Lease(End(seconds=50), End(seconds=100), End())
    return RunState(Progress(attempt="a-1", stage="Train", phase="Starting", started="2026-11-24T12:00:00Z"), lease)


def some_metrics() -> Metrics:
    return Metrics(JobIdentity(namespace="n", name="j", uid="u", attempt="a-1", attempt_number=1), 0)


class Port:
    """A served state, and a client of it."""

    def __init__(self, state: RunState, metrics: Metrics, token_file: Path | None) -> None:
        self.state = state
        config = ControlConfig(port=0, token_file=str(token_file) if token_file else None)
        self.server = ControlServer(config, state, metrics.expose).start()

    def call(self, route: str, body: object = None, token: str = TOKEN) -> tuple[int, bytes]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.port}{route}", data, {"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def answer(self, route: str, body: object) -> tuple[int, CheckpointAnswer]:
        status, data = self.call(route, body)
        return status, CheckpointAnswer.model_validate_json(data)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    port = Port(a_state(), some_metrics(), tmp_path / "token")
    yield port
    port.server.close()


def test_a_request_is_accepted_once_and_answered_for_ever(port: Port):
    assert port.answer("/checkpoint", REQUEST)[0] == 202
    assert port.answer("/checkpoint", REQUEST)[0] == 202
    done = CheckpointAnswer(id="r1", state="Acknowledged", then="Stop", step=7, digest="d")
    port.state.answer(done)
    assert port.answer("/checkpoint", REQUEST) == (200, done)
    assert port.answer("/checkpoint", {**REQUEST, "id": "r2"})[0] == 202
    assert port.answer("/checkpoint", REQUEST) == (200, done)


def test_a_second_request_while_one_is_under_way_conflicts(port: Port):
    port.call("/checkpoint", REQUEST)
    status, answer = port.answer("/checkpoint", {**REQUEST, "id": "r2"})
    assert (status, answer.id) == (409, "r1")


def test_a_failed_request_is_a_200_that_says_so(port: Port):
    port.call("/checkpoint", REQUEST)
    port.state.answer(CheckpointAnswer(id="r1", state="Failed", message="disk full"))
    status, answer = port.answer("/checkpoint", REQUEST)
    assert (status, answer.state, answer.message) == (200, "Failed", "disk full")


def test_the_last_answer_stands_in_the_progress(port: Port):
    port.call("/checkpoint", REQUEST)
    progress = Progress.model_validate_json(port.call("/progress")[1])
    assert progress.answer == CheckpointAnswer(id="r1", state="Accepted", then="Stop")


@pytest.mark.parametrize("route", ["/checkpoint", "/lease"])
def test_a_wrong_token_changes_nothing(port: Port, route: str):
    assert port.call(route, REQUEST, token="guess")[0] == 401
    assert port.state.open_request() is None


def test_without_a_token_file_nothing_can_be_asked():
    port = Port(a_state(), some_metrics(), None)
    assert port.call("/checkpoint", REQUEST)[0] == 403
    assert port.call("/healthz") == (200, b"ok\n")
    port.server.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), ({"id": "r1"}, 400), ({**REQUEST, "then": "Now"}, 400), (b"x" * (MAX_BODY_BYTES + 1), 413)],
)
def test_a_body_that_makes_no_sense_is_refused(port: Port, body: object, status: int):
    assert port.call("/checkpoint", body)[0] == status


def test_unknown_routes(port: Port):
    assert port.call("/nothing")[0] == 404
    assert port.call("/nothing", {})[0] == 404


def test_a_lease_update_moves_the_ends_once_and_never_past_the_supervisor_s(port: Port):
    status, data = port.call("/lease", LEASE)
    want = LeaseUpdate(id="l1", trainer_end=End(seconds=100), budget_end=End(tokens=5))
    assert (status, LeaseUpdate.model_validate_json(data)) == (200, want)
    port.call("/lease", {**LEASE, "budgetEnd": {"tokens": 9}})
    assert port.state.lease.budget_end == End(tokens=5)
    port.call("/lease", {"id": "l2", "budgetEnd": {"tokens": 9}})
    assert port.state.lease.budget_end == End(tokens=9)


def test_metrics_are_exposed_as_text(port: Port):
    status, text = port.call("/metrics")
    assert status == 200
    assert b"# TYPE farthing_trainer_tokens_total counter" in text


def test_a_port_in_use_is_named(port: Port, tmp_path: Path):
    with pytest.raises(BadInput, match=r"control.port"):
        ControlServer(ControlConfig(port=port.server.port), a_state(), bytes)
