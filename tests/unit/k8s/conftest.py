"""The manifests as a cluster gets them, built with kustomize and with secrets for the test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from clarion_testing.manifests import Build

ROOT = Path(__file__).parents[3]

_INSTALL = "install kubectl 1.21 or newer: https://kubernetes.io/docs/tasks/tools/"


@pytest.fixture(scope="session")
def kustomize() -> list[str]:
    """Return the command that builds a kustomization, and install it where that can be done."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if not shutil.which("kubectl") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "kubernetes-client"],
            check=False,
            capture_output=True,
        )
    if not shutil.which("kubectl"):
        _cannot_build("nothing here builds the manifests")
    told = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True)
    version = re.search(r"v1\.(\d+)|Minor:\"(\d+)", told.stdout)
    if version and int(version[1] or version[2]) < 21:
        _cannot_build("this kubectl is too old for components")
    return ["kubectl", "kustomize"]


def _cannot_build(why: str) -> NoReturn:
    """Fail in CI; elsewhere skip and say so, as no package of Debian 12 can build them."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}: {_INSTALL}", pytrace=False)
    pytest.skip(f"{why}: {_INSTALL}")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of k8s/ with the secrets that its user makes, and none of this machine's."""
    copy = tmp_path_factory.mktemp("k8s") / "k8s"
    ignore = shutil.ignore_patterns("secrets.env", "fcm-service-account.json")
    shutil.copytree(ROOT / "k8s", copy, ignore=ignore)
    subprocess.run([copy / "make-secrets"], check=True, capture_output=True)
    production = copy / "overlays" / "production"
    shutil.copy(production / "secrets.env.example", production / "secrets.env")
    (production / "fcm-service-account.json").write_text("{}")
    return copy


@pytest.fixture(scope="session")
def build(kustomize: list[str]) -> Callable[[Path], Build]:
    """Return what builds a folder."""

    def run(folder: Path) -> Build:
        done = subprocess.run([*kustomize, folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, "the build warns"
        return Build(list(yaml.safe_load_all(done.stdout)))

    return run


@pytest.fixture(scope="session")
def default(build: Callable[[Path], Build], checkout: Path) -> Build:
    """Return what `kubectl apply -k k8s/` applies."""
    return build(checkout)


@pytest.fixture(scope="session")
def production(build: Callable[[Path], Build], checkout: Path) -> Build:
    """Return what the production overlay applies."""
    return build(checkout / "overlays" / "production")


@pytest.fixture(scope="session")
def scaled(
    build: Callable[[Path], Build], checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Build:
    """Return the default with every component that adds to it."""
    names = {path.name for path in (checkout / "components").iterdir()} - {"rabbitmq-operator"}
    return build(_with_components(checkout, tmp_path_factory.mktemp("scaled"), *sorted(names)))


@pytest.fixture(scope="session")
def operated(
    build: Callable[[Path], Build], checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Build:
    """Return the default with its RabbitMQ left to the operator."""
    folder = tmp_path_factory.mktemp("operated")
    return build(_with_components(checkout, folder, "rabbitmq-operator"))


def _with_components(checkout: Path, folder: Path, *names: str) -> Path:
    copy = folder / "k8s"
    shutil.copytree(checkout, copy)
    root = copy / "kustomization.yaml"
    components = [f"components/{name}" for name in names]
    kustomization = yaml.safe_load(root.read_text()) | {"components": components}
    root.write_text(yaml.safe_dump(kustomization))
    return copy


@pytest.fixture(params=["default", "production", "scaled"])
def every(request: pytest.FixtureRequest) -> Build:
    """Return each of the builds, one after the other."""
    built: Build = request.getfixturevalue(request.param)
    return built
