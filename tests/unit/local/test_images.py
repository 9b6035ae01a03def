"""What goes into an image's layers, what a build is given, and which old images go."""

import json
import subprocess
import sys
import tomllib

import pytest

from farthing.errors import LocalClusterError
from farthing.local.images import CA_IN_IMAGE, DOCKERFILES, build_options
from farthing.local.paths import checkout
from farthing.local.pruning import parse_outdated
from farthing.local.rate import load_rate, measure_cpu_rate, save_rate

LISTING = """\
REF                                    TYPE      DIGEST         SIZE     PLATFORMS   LABELS
localhost:5000/farthing/trainer:new    oci       sha256:ddd1    1.0 GiB  linux/amd64 managed
localhost:5000/farthing/trainer@sha256:ddd1 oci  sha256:ddd1    1.0 GiB  linux/amd64 managed
sha256:1d1                             oci       sha256:ddd1    1.0 GiB  linux/amd64 managed
localhost:4999/farthing/trainer:old    oci       sha256:ddd0    1.0 GiB  linux/amd64 managed
localhost:4999/farthing/trainer@sha256:ddd0 oci  sha256:ddd0    1.0 GiB  linux/amd64 managed
sha256:1d0                             oci       sha256:ddd0    1.0 GiB  linux/amd64 managed
localhost:5000/farthing/operator:other oci       sha256:ddd2    1.0 GiB  linux/amd64 managed
localhost:5000/elsewhere/trainer:old   oci       sha256:ddd3    1.0 GiB  linux/amd64 managed
"""


def test_an_older_image_goes_under_all_its_names_and_no_other_does():
    want = ["localhost:4999/farthing/trainer:old", "localhost:4999/farthing/trainer@sha256:ddd0", "sha256:1d0"]
    assert parse_outdated(LISTING, "farthing/trainer", ["new"]) == want


def test_the_one_before_stays_too():
    assert parse_outdated(LISTING, "farthing/trainer", ["new", "old"]) == []


def test_the_same_image_under_an_earlier_port_stays():
    listing = LISTING.replace("trainer:old    oci       sha256:ddd0", "trainer:new    oci       sha256:ddd1")
    assert "localhost:4999/farthing/trainer:new" not in parse_outdated(listing, "farthing/trainer", ["new"])


def test_behind_a_proxy_the_build_alone_gets_the_certificates(tmp_path):
    bundle = tmp_path / "ca.crt"
    bundle.touch()
    options = build_options({"SSL_CERT_FILE": str(bundle)})
    assert f"{bundle}:{CA_IN_IMAGE}:ro" in options
    assert f"SSL_CERT_FILE={CA_IN_IMAGE}" in options
    for dockerfile in DOCKERFILES.values():
        text = (checkout() / dockerfile).read_text()
        assert "ENV SSL_CERT_FILE" not in text
        assert "ENV PIP_CERT" not in text


@pytest.mark.parametrize("environment", [{}, {"SSL_CERT_FILE": "/nowhere/ca.crt"}])
def test_without_a_bundle_the_build_gets_none(environment):
    assert not any(CA_IN_IMAGE in option for option in build_options(environment))


@pytest.mark.parametrize("dockerfile", DOCKERFILES.values())
def test_images_run_as_nobody_in_particular_and_their_code_is_the_last_layer(dockerfile):
    steps = [line for line in (checkout() / dockerfile).read_text().splitlines() if line and line[0].isupper()]
    assert "USER 10001:10001" in steps
    assert steps[-1] == "COPY --from=code /app /app"


def test_the_trainers_image_has_only_the_contract_of_the_operator():
    copied = [
        line.split()[1:-1] for line in (checkout() / DOCKERFILES["trainer"]).read_text().splitlines() if "operator/" in line
    ]
    sources = {source for line in copied for source in line}
    assert sources == {"operator/farthing/__init__.py", "operator/farthing/units.py", "operator/farthing/contract"}


def test_the_local_cluster_is_in_no_image():
    assert "operator/farthing/local" in (checkout() / ".dockerignore").read_text().splitlines()


def listed(extra):
    script = checkout() / "scripts" / "list_requirements.py"
    done = subprocess.run([sys.executable, script, extra], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_an_extras_requirements_have_those_of_the_extras_that_it_names():
    project = tomllib.loads((checkout() / "pyproject.toml").read_text())["project"]
    trainer = listed("trainer")
    for line in [*project["dependencies"], *project["optional-dependencies"]["prepare"]]:
        assert line in trainer
    assert not any(line.startswith("farthing") for line in trainer)


def test_neither_image_has_the_others_heavy_packages():
    assert not any(line.startswith(("torch", "transformers")) for line in listed("operator"))
    assert not any(line.startswith(("kopf", "kubernetes")) for line in listed("trainer"))


def test_the_rate_is_measured_and_kept(tmp_path):
    rate = measure_cpu_rate(slots=1)
    assert rate.flops_per_second > 1e8
    assert rate.bytes_per_second > 1e8
    assert rate.cpu_model
    save_rate(rate, tmp_path / "rate.json")
    assert load_rate(tmp_path / "rate.json") == rate
    assert json.loads((tmp_path / "rate.json").read_text())["source"] == "measured"


def test_a_measurement_that_cannot_run_says_why(monkeypatch):
    monkeypatch.setattr("farthing.local.rate.PROGRAM", "import a_package_that_is_not_there")
    with pytest.raises(LocalClusterError, match="a_package_that_is_not_there"):
        measure_cpu_rate()
