"""What a service tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters and histograms of one service."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = self._counter(
            "http_requests", "Requests answered", "method", "route", "status"
        )
        self.request_seconds = self._histogram(
            "http_request_duration_seconds", "From a request to its answer", "method", "route"
        )
        self.verify_seconds = self._histogram(
            "jwt_verify_duration_seconds", "Verifying an access token"
        )
        self.issue_seconds = self._histogram("jwt_issue_duration_seconds", "Issuing a token")
        self.tokens_refused = self._counter("jwt_refused", "Access tokens refused", "reason")
        self.logins = self._counter("logins", "Logins", "result")
        self.rate_limit_hits = self._counter("rate_limit_hits", "Requests over a limit", "limit")
        self.legacy = self._gauge("legacy_mode", "1 while Redis is out")
        self.queued = self._gauge("audit_queue_length", "Audit events that wait on disk")
        self.replayed = self._counter("audit_replayed", "Audit events replayed after an outage")
        self.cleaned = self._counter("cleanup_removed", "What cleanups removed", "kind")
        self.cleanups = self._counter("cleanups", "Cleanups run", "result")
        info = self._gauge("service_info", "The service", "service")
        info.labels(service).set(1)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"tars_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"tars_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"tars_{name}", what, labels, registry=self.registry, buckets=SECONDS)
