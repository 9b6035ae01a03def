"""A pid is ours only while its command line names our directory."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from farthing.errors import LocalClusterError
from farthing.local.network import port_is_free
from farthing.local.paths import Paths
from farthing.local.processes import Component, command_line, log_of, log_tail, names, pid_of, start, stop
from farthing.local.shell import wait_until

SLEEP = "import sys, time; print('up', flush=True); time.sleep(600)"
SLOW_TO_LEAVE = """
import ctypes, socket, sys, threading
from pathlib import Path
folder = Path(sys.argv[1].partition("=")[2]).parent
def hold():
    with socket.create_server(("127.0.0.1", 0)) as server:
        (folder / "port.new").write_text(str(server.getsockname()[1]))
        (folder / "port.new").rename(folder / "port")
        (folder / "leave").read_bytes()
threading.Thread(target=hold).start()
ctypes.CDLL(None).pthread_exit(None)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def paths(tmp_path):
    made = Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")
    made.make()
    yield made
    for name in names(made):
        stop(made, name, sig=signal.SIGKILL)


def a_component(paths, name="sleeper", program=SLEEP):
    return Component(name, [sys.executable, "-c", program, f"--state={paths.state}/x"])


def test_start_and_stop(paths):
    assert start(paths, a_component(paths))
    pid = pid_of(paths, "sleeper")
    assert pid is not None
    assert os.getsid(pid) == pid
    stop(paths, "sleeper")
    assert pid_of(paths, "sleeper") is None
    assert names(paths) == []


def test_a_program_that_is_still_being_read_has_a_command_line(tmp_path):
    """Inside `exec` a process has none for a moment; taken for gone, a component was said to have ended by itself."""
    program = tmp_path / "program"
    shutil.copy("/bin/sleep", program)
    for _ in range(100):
        with program.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with subprocess.Popen(["sh", "-c", 'exec "$0" 600', program]) as process:
            seen = [command_line(process.pid)]
            while seen[-1] and seen[-1][0] != str(program):
                seen.append(command_line(process.pid))
            process.kill()
        assert all(seen)


def test_a_second_start_changes_nothing(paths):
    start(paths, a_component(paths))
    pid = pid_of(paths, "sleeper")
    assert not start(paths, a_component(paths))
    assert pid_of(paths, "sleeper") == pid


def test_after_kill_9_it_starts_again(paths):
    start(paths, a_component(paths))
    killed = pid_of(paths, "sleeper")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: pid_of(paths, "sleeper") is None, "killed", seconds=10)
    assert start(paths, a_component(paths))
    assert pid_of(paths, "sleeper") not in (None, killed)


@pytest.fixture
def leaving(paths):
    """A component whose first thread has ended while another holds a port, until somebody writes to `state/leave`."""
    os.mkfifo(paths.state / "leave")
    start(paths, a_component(paths, program=SLOW_TO_LEAVE))
    pid = int((paths.run / "sleeper.pid").read_text())
    wait_until((paths.state / "port").exists, "port held", seconds=10)
    wait_until(lambda: command_line(pid) == [], "first thread ended", seconds=10)
    yield pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_process_is_there_until_its_last_thread_lets_go_of_its_ports(paths, leaving, monkeypatch):
    """A killed API server has no command line 0.1 s before its port is free; one started in between could not have it."""

    def let_go_and_wait(condition, *what, **how):
        assert not condition()
        (paths.state / "leave").write_bytes(b"")
        wait_until(condition, *what, **how)

    monkeypatch.setattr("farthing.local.processes.wait_until", let_go_and_wait)
    assert pid_of(paths, "sleeper") is None
    assert port_is_free(int((paths.state / "port").read_text()))


def test_a_process_that_does_not_leave_is_said_so(paths, leaving, monkeypatch):
    monkeypatch.setattr("farthing.local.processes.LEAVING_SECONDS", 0.2)
    with pytest.raises(LocalClusterError, match=rf"sleeper \(pid {leaving}\) left by all its threads"):
        start(paths, a_component(paths))
    assert (paths.run / "sleeper.pid").read_text().strip() == str(leaving)


def test_someone_elses_process_with_our_number_is_neither_ours_nor_killed(paths):
    with subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.DEVNULL) as stranger:
        (paths.run / "sleeper.pid").write_text(str(stranger.pid))
        assert pid_of(paths, "sleeper") is None
        stop(paths, "sleeper", sig=signal.SIGKILL)
        assert stranger.poll() is None
        stranger.kill()


def test_a_directory_whose_name_only_begins_like_ours_is_not_ours(paths):
    with subprocess.Popen([sys.executable, "-c", SLEEP, f"{paths.state}2/x"], stdout=subprocess.DEVNULL) as stranger:
        (paths.run / "sleeper.pid").write_text(str(stranger.pid))
        assert pid_of(paths, "sleeper") is None
        stranger.kill()


def test_a_command_line_that_does_not_name_the_state_is_refused(paths):
    with pytest.raises(LocalClusterError, match="does not name"):
        start(paths, Component("sleeper", [sys.executable, "-c", SLEEP]))


@pytest.mark.parametrize("content", ["", "not a number", "999999999"])
def test_a_broken_or_stale_pid_file_means_not_running(paths, content):
    (paths.run / "sleeper.pid").write_text(content)
    assert pid_of(paths, "sleeper") is None


def test_one_that_ignores_sigterm_is_killed(paths, monkeypatch):
    monkeypatch.setattr("farthing.local.processes.STOP_SECONDS", 0.5)
    start(paths, a_component(paths, program=STUBBORN))
    wait_until(lambda: "up" in log_of(paths, "sleeper").read_text(), "handler installed", seconds=10)
    stop(paths, "sleeper")
    assert pid_of(paths, "sleeper") is None


def test_output_goes_to_the_log(paths):
    start(paths, a_component(paths))
    wait_until(lambda: "up" in log_tail(paths, "sleeper").splitlines(), "logged", seconds=10)
    assert str(log_of(paths, "sleeper")) in log_tail(paths, "sleeper")
