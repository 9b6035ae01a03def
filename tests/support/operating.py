"""The operator as its own process against a cluster, started as its image starts it."""

import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.support.free_port import free_port
from tests.support.manifests import CHART

from farthing.local.cluster import LocalCluster

COMMAND = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces", "-m", "farthing.controller"]
SETTINGS: dict[str, Any] = {
    "cycle": {"controlPeriod": 0.5, "progressThrottle": 3600},
    # The chart's priority class is not installed here.
    "worker": {"priorityClass": None},
    "handshake": {"deadline": 20, "httpTimeout": 1},
}


class Operator:
    """One running operator."""

    def __init__(self, kubeconfig: Path, folder: Path, name: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.port = free_port()
        self.log = folder / f"{name}.log"
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "FARTHING_SETTINGS": str(file),
            "FARTHING_HTTP_PORT": str(self.port),
            "POD_NAME": name,
        }
        with self.log.open("w") as output:
            self.process = subprocess.Popen(COMMAND, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its own routes; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    @property
    def cycles(self) -> float:
        """How many cycles it has finished."""
        return self.metric("farthing_cycle_duration_seconds_count")

    def wait_ready(self, seconds: float = 60) -> None:
        """Until its caches are synced. AssertionError with its log otherwise."""
        end = time.monotonic() + seconds
        while self.get("/readyz")[0] != 200:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"operator {self.name} did not become ready:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.1)

    def end(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the process' end."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(timeout=30)


@contextmanager
def operator(made: LocalCluster, folder: Path, name: str = "operator-a", kubeconfig: Path | None = None) -> Iterator[Operator]:
    """A ready operator, as administrator unless another kubeconfig is given; it ends with the block."""
    running = Operator(kubeconfig or made.kubeconfig, folder, name, SETTINGS)
    try:
        running.wait_ready()
        yield running
    finally:
        running.end()


def chart_kubeconfig(made: LocalCluster, namespace: str, folder: Path) -> Path:
    """A kubeconfig of the chart's ServiceAccount, with the chart's rights and nothing more."""
    only = [word for name in ("operator", "serviceaccount") for word in ("--show-only", f"templates/rbac/{name}.yaml")]
    made.kubectl("apply", "-f", "-", text=made.helm("template", "farthing", str(CHART), "--namespace", namespace, *only))
    account = made.get("serviceaccounts", "-n", namespace, "-l", "app.kubernetes.io/name=farthing")["items"][0]["metadata"][
        "name"
    ]
    config = yaml.safe_load(made.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": made.kubectl("create", "token", account, "-n", namespace).strip()}
    file = folder / "chart.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file
