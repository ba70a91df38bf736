"""What kustomize built, for tests to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Build:
    """All objects of one build."""

    objects: list[Manifest]

    def of(self, *kinds: str) -> list[Manifest]:
        """Return the objects of these kinds."""
        return [found for found in self.objects if found["kind"] in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        """Return the one object of this name, without the hash that kustomize adds."""
        pattern = re.compile(rf"{name}(-[a-z0-9]{{10}})?")
        (found,) = (o for o in self.of(kind) if pattern.fullmatch(o["metadata"]["name"]))
        return found

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Yield the name and the pod template of everything that runs."""
        for workload in self.of("Deployment", "StatefulSet", "Job"):
            yield workload["metadata"]["name"], workload["spec"]["template"]

    def containers(self) -> Iterator[tuple[str, Manifest]]:
        """Yield every container, with a name that says where it is."""
        for name, pod in self.pods():
            for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
                yield f"{name}/{container['name']}", container

    def variables(self, container: Manifest) -> dict[str, str]:
        """Return what a container's environment holds; a field of the pod counts as its path."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in container.get("env", []):
            found[entry["name"]] = entry.get("value") or str(entry["valueFrom"])
        return found
