import signal
from pathlib import Path

import pytest

from farthing.contract.exit_codes import ExitCode
from farthing_trainer import oom, supervisor
from farthing_trainer.place import Started

UNIFIED = {"memory.events": "low 0\noom 4\noom_kill {n}\n", "memory.max": "{limit}\n"}
LEGACY = {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill {n}\n", "memory.limit_in_bytes": "{limit}\n"}


def write(folder: Path, files: dict[str, str], n: int, limit: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text.format(n=n, limit=limit))


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "self").write_text("9:memory:/kubepods/pod\n3:cpu,cpuacct:/\n0::/kubepods/pod\n")
    monkeypatch.setattr(oom, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(oom, "_SELF", tmp_path / "self")
    return tmp_path / "cgroup"


def test_without_groups_nothing_is_counted_and_nothing_limited(groups: Path):
    assert (oom.oom_kills(), oom.memory_limit()) == (0, None)


@pytest.mark.parametrize("below", ["", "kubepods/pod"], ids=["inside a container", "outside one"])
def test_version_2(groups: Path, below: str):
    write(groups / below, UNIFIED, 3, 1 << 30)
    assert (oom.oom_kills(), oom.memory_limit()) == (3, 1 << 30)


@pytest.mark.parametrize("below", ["memory", "memory/kubepods/pod"], ids=["inside a container", "outside one"])
def test_version_1(groups: Path, below: str):
    write(groups / below, LEGACY, 2, 1 << 29)
    assert (oom.oom_kills(), oom.memory_limit()) == (2, 1 << 29)


def test_the_own_group_counts_and_not_the_machine_s(groups: Path):
    write(groups / "memory", LEGACY, 99, 1 << 40)
    write(groups / "memory/kubepods/pod", LEGACY, 1, 1 << 29)
    assert (oom.oom_kills(), oom.memory_limit()) == (1, 1 << 29)


@pytest.mark.parametrize(("files", "place", "none"), [(UNIFIED, "", "max"), (LEGACY, "memory", 9223372036854771712)])
def test_no_limit(groups: Path, files: dict[str, str], place: str, none: object):
    write(groups / place, files, 0, none)
    assert oom.memory_limit() is None


def a_supervisor() -> supervisor.Supervisor:
    return supervisor.Supervisor({"lease": {"supervisorEnd": {}}}, "", Started.now())


def test_a_kill_with_a_risen_counter_is_out_of_memory(groups: Path):
    write(groups, UNIFIED, 1, "max")
    watching = a_supervisor()
    assert watching._meaning(-signal.SIGKILL) == ExitCode.TRY_AGAIN
    write(groups, UNIFIED, 2, "max")
    assert watching._meaning(-signal.SIGKILL) == ExitCode.OUT_OF_MEMORY
    assert watching._meaning(-signal.SIGSEGV) == ExitCode.TRY_AGAIN


@pytest.mark.parametrize(
    ("status", "want"),
    [(0, 0), (64, 64), (76, 76), (143, 143), (-signal.SIGTERM, 75), (1, 75), (-signal.SIGABRT, 75)],
)
def test_what_an_exit_status_means(groups: Path, status: int, want: int):
    assert a_supervisor()._meaning(status) == want
