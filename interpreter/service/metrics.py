"""What the service tells Prometheus. Each service has a registry of its own, so that two can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters and times of one service."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "genevolve_requests", "Requests by route and outcome.", ["route", "outcome"], registry=registry
        )
        self.queue_length = Gauge("genevolve_queue_length", "Requests that wait.", registry=registry)
        self.queue_capacity = Gauge("genevolve_queue_capacity", "Requests that may wait.", registry=registry)
        self.in_flight = Gauge("genevolve_in_flight", "Requests being drawn.", registry=registry)
        self.devices = Gauge("genevolve_devices_ready", "Devices that are ready to draw.", registry=registry)
        self.wait_seconds = Histogram(
            "genevolve_wait_seconds", "Seconds in the queue.", buckets=_SECONDS, registry=registry
        )
        self.render_seconds = Histogram(
            "genevolve_render_seconds",
            "Seconds of one call of the renderer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "genevolve_batch_size", "Requests drawn by one call.", buckets=(1, 2, 4, 8, 16), registry=registry
        )

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
