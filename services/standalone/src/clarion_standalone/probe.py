"""How the gateway asks a worker in its own process for its health."""

from __future__ import annotations

from clarion.ops import WorkerHealth
from clarion_gateway.probes import InstanceHealth


class LocalProbe:
    """The one instance of a channel's worker, without a network between."""

    def __init__(self, health: WorkerHealth) -> None:
        self._health = health

    async def __call__(self) -> list[InstanceHealth]:
        """Return the worker's own report."""
        return [InstanceHealth.model_validate(await self._health.report())]
