"""What docs/deploy says is run: commands and environments, read from the files themselves."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PROGRAMS = ("migrate", "serve", "worker")
KINDS = ("systemd", "compose", "kubernetes")
UNITS = {
    "migrate": "countersign-migrate.service",
    "serve": "countersign.service",
    "worker": "countersign-worker.service",
}
GIVEN = {"POSTGRES_PASSWORD": "secret", "SITE": "review.example.com"}
"""What compose.yaml asks of the `.env` beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One program as one file starts it."""

    words: tuple[str, ...]
    environment: dict[str, str]
    grace: float
    """Seconds between SIGTERM and SIGKILL."""


def unit(program: str) -> dict[str, dict[str, list[str]]]:
    """A unit's sections: each key with all its values, in their order."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in (DEPLOY / "systemd" / UNITS[program]).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def dockerfile() -> dict[str, list[str]]:
    """The last stage's instructions: each with all its values, continued lines as one."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    found: dict[str, list[str]] = {}
    for line in text.rpartition("\nFROM ")[2].splitlines()[1:]:
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            found.setdefault(name, []).append(value)
    return found


def healthcheck() -> list[str]:
    """The image's own, as the words of a command."""
    (line,) = dockerfile()["HEALTHCHECK"]
    words: list[str] = json.loads(line.partition(" CMD ")[2])
    return words


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def manifests() -> list[dict[str, Any]]:
    """Every Kubernetes object of both files."""
    folder = DEPLOY / "kubernetes"
    return [m for file in sorted(folder.glob("*.yaml")) for m in yaml.safe_load_all(file.read_text("utf-8"))]


def manifest(kind: str, name: str) -> dict[str, Any]:
    return next(m for m in manifests() if m["kind"] == kind and m["metadata"]["name"].startswith(name))


def pod(program: str) -> dict[str, Any]:
    """The pod's spec that runs this program."""
    workloads = [m["spec"]["template"]["spec"] for m in manifests() if m["kind"] in {"Deployment", "Job"}]
    found: dict[str, Any] = next(w for w in workloads if w["containers"][0]["name"] == program)
    return found


def run(kind: str, program: str) -> Run:
    """One of `PROGRAMS` as one of `KINDS` starts it."""
    return {"systemd": _of_systemd, "compose": _of_compose, "kubernetes": _of_kubernetes}[kind](program)


def _of_systemd(program: str) -> Run:
    service = unit(program)["Service"]
    (command,) = service["ExecStart"]
    return Run(
        words=tuple(shlex.split(command)),
        environment=dict(pair.split("=", 1) for pair in service["Environment"]),
        grace=float(service.get("TimeoutStopSec", ["90"])[0]),
    )


def _of_image(arguments: list[str], environment: dict[str, str], grace: float) -> Run:
    image = dockerfile()
    (entry,) = image["ENTRYPOINT"]
    own = dict(pair.split("=", 1) for pair in image["ENV"])
    del own["PATH"]
    return Run(words=(*json.loads(entry), *arguments), environment={**own, **environment}, grace=grace)


def _of_compose(program: str) -> Run:
    service = compose()["services"][program]
    assert service["env_file"] == [".env"]
    copied = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
    own = {name: _interpolated(value) for name, value in service["environment"].items()}
    environment = {**copied, **own}
    return _of_image(service["command"], environment, float(service["stop_grace_period"].rstrip("s")))


def _interpolated(value: str) -> str:
    """`${NAME:?}` is given, `${NAME:-}` is empty where it is not."""

    def found(match: re.Match[str]) -> str:
        return GIVEN[match[1]] if match[2] == ":?" else GIVEN.get(match[1], "")

    return re.sub(r"\$\{(\w+)(:\?|:-)\}", found, value)


def _of_kubernetes(program: str) -> Run:
    spec = pod(program)
    (container,) = spec["containers"]
    environment: dict[str, str] = {}
    for source in container["envFrom"]:
        if "secretRef" in source:
            environment |= manifest("Secret", source["secretRef"]["name"])["stringData"]
        else:
            environment |= manifest("ConfigMap", source["configMapRef"]["name"])["data"]
    return _of_image(container["args"], environment, float(spec.get("terminationGracePeriodSeconds", 30)))
