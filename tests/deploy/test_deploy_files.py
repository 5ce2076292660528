"""The files of docs/deploy are what their own tools and our settings understand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest

from core.durations import duration
from countersign.configuration import configuration
from countersign.settings import known_names
from tests.deploy.files import (
    DEPLOY,
    KINDS,
    PROGRAMS,
    ROOT,
    UNITS,
    compose,
    dockerfile,
    manifest,
    manifests,
    pod,
    run,
    unit,
)

if TYPE_CHECKING:
    from pathlib import Path

STOPS_WITHIN = 10
"""Seconds; what `countersign serve` promises once it has drained."""
OLDEST = "1.30"
"""The Kubernetes that the manifests were written for."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def schema_refuses(file: Path) -> str:
    """What check-jsonschema has against a compose file; nothing where it is right."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_compose_file_is_one() -> None:
    assert schema_refuses(DEPLOY / "compose.yaml") == ""


def test_the_schema_refuses_a_slip_in_it(tmp_path: Path) -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    slip = tmp_path / "compose.yaml"
    slip.write_text(text.replace("stop_grace_period: 60s", "stop_grace: 60s"))
    assert "stop_grace" in schema_refuses(slip)


@pytest.mark.parametrize("program", PROGRAMS)
def test_compose_hands_on_all_settings_and_keeps_where_it_is(program: str) -> None:
    """`.env` may be a copy of .env.example, which is for one machine and SQLite."""
    found = run("compose", program).environment
    assert "COUNTERSIGN_MODEL_URL" in found
    assert found["COUNTERSIGN_HOST"] == "0.0.0.0"  # noqa: S104 - in a container of its own
    assert found["COUNTERSIGN_DATABASE_URL"].startswith("postgresql://")
    assert found["COUNTERSIGN_PUBLIC_URL"] == "https://review.example.com"
    (mount,) = compose()["services"][program]["volumes"]
    assert mount["target"] == str(PurePosixPath(found["COUNTERSIGN_CONFIG"]).parent), "flows are beside it"
    assert (mount["source"], mount["read_only"]) == ("./countersign", True)


@pytest.mark.parametrize("release", [OLDEST, kubernetes_validate.latest_version()])
def test_kubernetes_takes_every_manifest(release: str) -> None:
    for found in manifests():
        kubernetes_validate.validate(found, release, strict=True)


def test_kubernetes_refuses_a_slip_in_one() -> None:
    found = manifest("Deployment", "countersign")
    found["spec"]["replica"] = found["spec"].pop("replicas")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, OLDEST, strict=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_pod_may_do_little(program: str) -> None:
    spec = pod(program)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {spec['securityContext']['runAsUser']} " in dockerfile()["RUN"][0]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # A Service named countersign would otherwise set COUNTERSIGN_PORT to an address.
    assert (spec["enableServiceLinks"], spec["automountServiceAccountToken"]) == (False, False)


def test_three_replicas_are_reached_and_leave_one_by_one() -> None:
    replicas = manifest("Deployment", "countersign")["spec"]
    labels = replicas["template"]["metadata"]["labels"]
    assert replicas["replicas"] == 3
    assert replicas["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert manifest("Service", "countersign")["spec"]["selector"] == labels
    budget = manifest("PodDisruptionBudget", "countersign")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, labels)
    (container,) = replicas["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize(
    ("program", "setting"), [("serve", "COUNTERSIGN_PORT"), ("worker", "COUNTERSIGN_WORKER_PORT")]
)
def test_a_pod_is_asked_whether_it_lives_where_it_listens(program: str, setting: str) -> None:
    (container,) = pod(program)["containers"]
    (port,) = container["ports"]
    assert run("kubernetes", program).environment[setting] == str(port["containerPort"])
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}


@pytest.mark.parametrize("program", ["serve", "worker"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_may_drain_before_it_is_killed(kind: str, program: str) -> None:
    found = run(kind, program)
    drain = duration(found.environment.get("COUNTERSIGN_DRAIN", "0s"))
    assert drain is not None
    assert found.grace - drain.total_seconds() > STOPS_WITHIN
    assert "lifecycle" not in pod(program)["containers"][0], "it would wait before that, too"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_is_the_program_and_every_setting_is_ours(kind: str, program: str) -> None:
    found = run(kind, program)
    assert found.words[1:] == (program,)
    ours = {name for name in found.environment if name.startswith(("COUNTERSIGN_", "SLACK_", "TELEGRAM_"))}
    assert ours <= known_names()
    assert found.environment.keys() - ours <= {"PYTHONDONTWRITEBYTECODE"}


def test_the_images_are_of_this_release() -> None:
    version = PROJECT["project"]["version"]
    texts = [file.read_text(encoding="utf-8") for file in DEPLOY.rglob("*") if file.is_file()]
    named = {tag for text in texts for tag in re.findall(r"countersign:(\d[\w.]*)", text)}
    assert named == {version}
    assert manifest("Job", "countersign")["metadata"]["name"].endswith(version.replace(".", "-"))
    assert compose()["services"]["serve"]["image"] == f"countersign:{version}"


def test_the_image_is_built_of_what_the_package_is_made_of() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    copied = {word for line in copies for word in line.split()}
    project = PROJECT["project"]
    built = {*PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert copied == {
        *built,
        project["readme"],
        *project["license-files"],
        "pyproject.toml",
        "constraints.txt",
    }
    assert "postgres" in project["optional-dependencies"]


def test_the_config_map_holds_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(manifest("ConfigMap", "countersign-configuration")["data"]["countersign.toml"])
    assert configuration(file, {}).policies_of_nobody == []


def test_no_example_holds_a_secret() -> None:
    values = manifest("Secret", "countersign")["stringData"]
    assert {name for name, value in values.items() if value} == {"COUNTERSIGN_DATABASE_URL"}
    assert "PASSWORD" in values["COUNTERSIGN_DATABASE_URL"]


def test_the_units_say_the_same_of_settings_and_confinement() -> None:
    served = unit("serve")["Service"]
    apart = {"ExecStart", "ExecReload", "Type"}
    of_worker = unit("worker")["Service"]
    assert {k: v for k, v in served.items() if k not in apart} == {
        k: v for k, v in of_worker.items() if k not in apart
    }
    of_migrate = unit("migrate")["Service"]
    assert {k: v for k, v in of_migrate.items() if k not in apart}.items() <= served.items()


@pytest.fixture
def systemd_analyze() -> str:
    if found := shutil.which("systemd-analyze"):
        return found
    if os.environ.get("CI"):
        pytest.fail("CI checks the units with systemd-analyze, of Debian's package systemd.")
    pytest.skip("No systemd-analyze: what systemd says of the units is not known here.")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a program where they look for it."""
    program = tmp_path / "countersign"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for file in (DEPLOY / "systemd").iterdir():
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(text.replace("/opt/countersign/bin/countersign", str(program)))
    return tmp_path


def complaints(systemd_analyze: str, file: Path) -> list[str]:
    """What systemd says of this unit alone; of others that the machine has it may say more."""
    words = [systemd_analyze, "verify", "--man=no", "--recursive-errors=no", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if file.name in line]


@pytest.mark.parametrize("name", UNITS.values())
def test_systemd_understands_each_unit(systemd_analyze: str, installed: Path, name: str) -> None:
    assert complaints(systemd_analyze, installed / name) == []


def test_systemd_tells_a_slip_in_one(systemd_analyze: str, installed: Path) -> None:
    file = installed / "countersign.service"
    file.write_text(file.read_text().replace("TimeoutStopSec=20", "TimeoutStop=20"))
    assert "TimeoutStop" in "".join(complaints(systemd_analyze, file))


@pytest.mark.parametrize("name", UNITS.values())
def test_systemd_calls_each_unit_well_confined(systemd_analyze: str, name: str) -> None:
    """At most 2.0 of 10: the network, and little else."""
    words = [systemd_analyze, "security", "--offline=true", "--threshold=20", str(DEPLOY / "systemd" / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
