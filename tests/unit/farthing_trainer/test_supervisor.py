import subprocess
import sys
import time

import pytest

from farthing.contract.exit_codes import ExitCode
from farthing_trainer.place import ENV_STARTED, Started, place_from
from farthing_trainer.supervisor import child_environment, seconds_until, worst


def a_config(pods: int = 1, per_pod: int = 2, stage: str = "Train") -> dict[str, object]:
    return {"stage": stage, "pods": pods, "processesPerPod": per_pod, "job": {"attempt": "lm-abcde-1"}}


@pytest.mark.parametrize(
    ("codes", "want"),
    [((0, 0), 0), ((0, 143), 143), ((143, 75), 75), ((75, 76, 143), 76), ((76, 64), 64)],
)
def test_the_worst_of_the_children_s_codes(codes: tuple[int, ...], want: int):
    assert worst([ExitCode(code) for code in codes]) == want


def test_the_earlier_of_both_clocks_ends_the_pod():
    started = Started(time.monotonic() - 10, time.time() - 10)
    later = "2999-01-01T00:00:00Z"
    assert seconds_until({"seconds": 100, "notAfter": later}, started) == pytest.approx(90, abs=5)
    assert seconds_until({"seconds": 100, "notAfter": "2020-01-01T00:00:00.5Z"}, started) < 0
    assert seconds_until({}, started) == float("inf")


def test_ranks_count_pods_times_processes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    environment = child_environment(a_config(pods=3, per_pod=4), 2, Started(1.0, 2.0))
    place = place_from(environment)
    assert (place.rank, place.local_rank, place.world, place.local_world) == (6, 2, 12, 4)
    assert environment["MASTER_ADDR"] == "lm-abcde-1-0.lm-abcde-1"
    assert environment[ENV_STARTED] == "1.000000 2.000000"
    assert environment["OMP_NUM_THREADS"] == "1"


def test_one_pod_meets_on_the_loopback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    environment = child_environment(a_config(), 1, Started.now())
    assert (environment["MASTER_ADDR"], environment["GLOO_SOCKET_IFNAME"]) == ("127.0.0.1", "lo")


def test_the_prepare_stage_is_one_process():
    assert child_environment(a_config(stage="Prepare"), 0, Started.now())["WORLD_SIZE"] == "1"


def test_without_any_environment_the_world_is_one_process():
    place = place_from({})
    assert (place.rank, place.world, place.local_world, place.is_first) == (0, 1, 1, True)


def test_the_supervisor_imports_the_standard_library_alone():
    probe = (
        "import sys, farthing_trainer.supervisor; "
        "print(sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", probe], env=_import_path(), capture_output=True, text=True, check=True)
    assert set(eval(loaded.stdout)) <= {"__main__", "farthing", "farthing_trainer"}


def _import_path() -> dict[str, str]:
    import farthing
    import farthing_trainer

    roots = [str(module.__path__[0]).rsplit("/", 1)[0] for module in (farthing, farthing_trainer)]
    return {"PYTHONPATH": ":".join(roots)}
