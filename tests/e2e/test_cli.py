"""The command line against a real cluster."""

import json
import subprocess
import sys

import pytest
import yaml

from farthing.cli.demo.setting import NAMESPACE, PATIENT

pytestmark = pytest.mark.e2e


@pytest.fixture
def farthing(cluster, api):
    def run(*arguments, text=None):
        command = [sys.executable, "-m", "farthing.cli.main", f"--kubeconfig={cluster.kubeconfig}", *arguments, "-n", NAMESPACE]
        return subprocess.run(command, capture_output=True, text=True, input=text, check=False)

    return run


def test_status_is_a_table_for_people_and_data_for_programs(farthing):
    table, data = farthing("status"), farthing("status", PATIENT, "-o", "json")

    assert table.returncode == 0, table.stderr
    assert [
        word
        for word in ("NAME", "STEP", "LOSS", "TOKENS/S", "MEMORY", "SPENT", "ETA", PATIENT, "Complete")
        if word not in table.stdout
    ] == []
    assert json.loads(data.stdout)["status"]["state"] == "Complete"


def test_why_tells_decisions_predictions_and_the_bill(farthing):
    told = farthing("why", PATIENT)

    assert told.returncode == 0, told.stderr
    assert [
        word for word in ("Start: ", "Predicted and measured", "STARTUP", "total", "Landed") if word not in told.stdout
    ] == []
    assert yaml.safe_load(farthing("why", PATIENT, "-o", "yaml").stdout)["spendRecords"]


def test_plan_asks_the_cluster_for_its_pools(farthing, setting, tmp_path):
    manifest = yaml.safe_load((setting.examples / "stdlib-lm.yaml").read_text())
    manifest["metadata"]["name"] = "planned"  # stdlib-lm itself has spent its money
    wanted = tmp_path / "planned.yaml"
    wanted.write_text(yaml.safe_dump(manifest))

    plans = farthing("plan", "-f", str(wanted), "--cluster", "-o", "json")

    assert plans.returncode == 0, plans.stderr
    assert json.loads(plans.stdout)["plans"]


def test_what_is_absent_has_its_own_status(farthing):
    assert farthing("status", "nobody").returncode == 3
    assert farthing("logs", "nobody").returncode == 3


def test_a_manifest_that_the_server_refuses_has_its_own_status(farthing, setting):
    manifest = yaml.safe_load((setting.examples / "stdlib-lm.yaml").read_text())
    manifest["spec"]["budget"] = {"limits": {"cost": "1"}}

    refused = farthing("apply", "-f", "-", text=yaml.safe_dump(manifest))

    assert refused.returncode == 6
    assert "budget.currency" in refused.stderr


def test_apply_twice_changes_nothing(farthing, setting):
    account = str(setting.examples / "account.yaml")

    assert "created" in farthing("apply", "-f", account).stderr
    assert "unchanged" in farthing("apply", "-f", account).stderr
