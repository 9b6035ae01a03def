"""`farthing estimates`: every row of the file in the answer, a summary by source, constants with their provenance."""

import csv
import json
import tomllib

import pytest
from typer.testing import CliRunner

from farthing.cli import estimates
from farthing.cli.main import app
from farthing.errors import InvalidSpec, UserError
from farthing.estimates.constants_file import ConstantsFile
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.rows import read_rows

ROW = {
    "row_id": "whole", "source_group": "somebody", "model": "llama", "n_params": 8030261248, "hidden": 4096, "layers": 32,
    "heads": 32, "kv_heads": 8, "head_dim": 128, "ffn": 14336, "vocab": 128256, "tied_embeddings": "false", "gated_mlp": "true",
    "gpu": "H100-80GB", "gpu_memory_gib": 80, "n_gpus": 8, "framework": "torchtitan", "compile": "true", "dp": 8,
    "shard": "zero3", "shard_degree": 8, "ac": "full", "peft": "none", "seq_len": 8192, "seq_len_kind": "fixed",
    "micro_batch": 2, "memory_metric": "reserved", "peak_mem_gib": 40, "status": "ok", "tokens_per_s_per_gpu": 6000,
    "mem_ready": "strict", "time_ready": "strict",
}  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(app, ["estimates", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    """Five rows: whole, without dims, with a recipe that is not modelled, on an unknown accelerator, out of memory."""
    rows = [
        ROW,
        {**ROW, "row_id": "dimless", "hidden": ""},
        {**ROW, "row_id": "recipe", "lowp_recipe": "nvfp4"},
        {**ROW, "row_id": "unknown", "gpu": "XPU-9", "source_group": "else", "framework": "", "memory_metric": "unknown"},
        {
            **ROW,
            "row_id": "oom",
            "status": "oom",
            "peak_mem_gib": "",
            "tokens_per_s_per_gpu": "",
            "micro_batch": 64,
            "ac": "none",
        },
    ]
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, dict.fromkeys(name for row in rows for name in row))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_row_is_answered_in_the_order_of_the_file(file):
    result = run("check", file, "-o", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["row_id"] for row in rows] == ["whole", "dimless", "recipe", "unknown", "oom"]
    assert [row["refused"] for row in rows] == [None, "hidden is empty", "lowp_recipe 'nvfp4' is not modelled", None, None]
    whole, dimless, _, unknown, oom = (row["predicted"] for row in rows)
    assert set(whole) == {"allocated_gib", "reserved_gib", "safe_gib", "tokens_per_s_per_gpu"}
    assert 0 < whole["allocated_gib"] <= whole["reserved_gib"]
    assert whole["tokens_per_s_per_gpu"] > 0
    assert set(dimless.values()) == {None}
    assert unknown["allocated_gib"] > 0
    assert unknown["tokens_per_s_per_gpu"] is None
    assert oom["safe_gib"] > 79.1


def test_the_summary_scores_by_source_and_counts_what_was_refused(file):
    data = json.loads(run("check", file, "-o", "json").stdout)["summary"]
    assert set(data["memory"]) == {"somebody", "else", "average"}
    assert set(data["memory"]["somebody"]) == {"n", "median", "p95", "bias", "safe_under_prediction_rate"}
    assert set(data["throughput"]) == {"somebody", "average"}
    assert data["refused"] == {"rows": 2, "reasons": {"hidden is empty": 1, "lowp_recipe 'nvfp4' is not modelled": 1}}
    assert data["safe"]["oom_rows"] == 1
    assert data["safe"]["oom_declared_to_fit"] == 0
    assert data["unknown_metric_compared_with_allocated"] == 1


def test_people_get_tables(file):
    result = run("check", file)
    assert result.exit_code == 0, result.output
    assert "somebody" in result.stdout
    assert "refused 1: hidden is empty" in result.stdout


def test_a_file_of_refused_rows_is_an_answer(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("row_id,hidden\na,\n")
    result = run("check", path)
    assert result.exit_code == 0, result.output
    assert "predicted 0 of 1 rows" in result.stdout


def test_what_is_no_file_of_rows_is_said(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("id\n1\n")
    assert isinstance(run("check", path).exception, InvalidSpec)
    assert isinstance(run("check", tmp_path / "missing.csv").exception, InvalidSpec)


@pytest.fixture
def fitted(file, tmp_path, monkeypatch):
    """Constants "fitted" to the file: each kind differs from the shipped ones in one number."""
    made = {"memory": MemoryConstants(wide_logit_bytes=20.0), "time": TimeConstants(gemm_efficiency=0.1 + 0.2)}
    monkeypatch.setattr(estimates, "FEWEST", 1)
    monkeypatch.setattr(estimates, "_fitter", lambda kind: lambda rows: made[kind])
    path = tmp_path / "fitted.toml"
    assert run("fit", file, "--output", path).exit_code == 0
    return path


def test_fitted_constants_are_written_with_their_provenance(fitted):
    data = tomllib.loads(fitted.read_text())
    assert data["provenance"]["file"] == "rows.csv"
    assert len(data["provenance"]["sha256"]) == 64
    assert data["provenance"]["source_groups"] == ["else", "somebody"]
    assert (data["memory"]["rows"], data["memory"]["wide_logit_bytes"]) == (2, 20)
    assert (data["time"]["rows"], data["time"]["gemm_efficiency"]) == (1, 0.1 + 0.2)


def test_check_predicts_with_the_constants_of_a_fit(file, fitted):
    shipped, own = (json.loads(run("check", file, *option, "-o", "json").stdout) for option in ([], ["--constants", fitted]))
    memory = MemoryConstants(wide_logit_bytes=20.0)
    expected = estimates.predict(read_rows(file.read_text()), ConstantsFile(memory=memory)).allocated / 2**30
    found = [row["predicted"]["allocated_gib"] for row in own["rows"] if row["refused"] is None]
    assert found == pytest.approx(expected, rel=1e-5)
    assert own["rows"] != shipped["rows"]
    assert shipped["summary"]["constants"] == {"file": None}
    assert own["summary"]["constants"]["file"] == "rows.csv"
    assert own["summary"]["constants"]["rows"] == {"memory": 2, "time": 1}
    assert "constants: rows.csv" in run("check", file, "--constants", fitted).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [("[memory]\nnorm_byte = 1", "memory.norm_byte"), ("[time]\nlaunch_eager = nan", "time.launch_eager"), ("a b", "Expected")],
)
def test_constants_that_cannot_be_used_are_one_sentence(file, tmp_path, text, said):
    path = tmp_path / "own.toml"
    path.write_text(text)
    error = run("check", file, "--constants", path).exception
    assert isinstance(error, InvalidSpec)
    assert said in str(error)
    assert isinstance(run("check", file, "--constants", tmp_path / "absent.toml").exception, InvalidSpec)


def test_constants_that_cannot_be_written_are_an_error_of_the_option(file, tmp_path):
    failure = run("fit", file, "--output", tmp_path / "no" / "such" / "folder.toml").exception
    assert isinstance(failure, InvalidSpec)
    assert "--output" in str(failure)


def test_too_few_rows_fit_nothing(file, tmp_path):
    written = tmp_path / "constants.toml"
    assert run("fit", file, "--output", written).exit_code == 0
    assert set(tomllib.loads(written.read_text())) == {"provenance"}


def test_a_fit_without_its_packages_says_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError("no", name="scipy")

    monkeypatch.setattr(estimates, "import_module", absent)
    with pytest.raises(UserError, match="farthing\\[cli\\]"):
        estimates._fitter("memory")
