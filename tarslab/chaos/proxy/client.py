"""A client of the proxy's HTTP API: also of a Toxiproxy 2."""

from collections.abc import Mapping
from typing import Any, Self

import httpx

from tarslab.chaos.proxy.toxics import Stream
from tarslab.errors import PlatformFailed

PATIENCE = 10.0
NOT_FOUND = 404


class ProxyClient:
    """Puts toxics on the proxies at a URL, and takes them off."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    def version(self) -> str:
        """Of the proxy."""
        return str(self._ask("GET", "/version")["version"])

    def proxies(self) -> dict[str, dict[str, Any]]:
        """Each proxy by its name, as the API shows it."""
        return dict(self._ask("GET", "/proxies"))

    def add(
        self,
        proxy: str,
        kind: str,
        attributes: Mapping[str, int],
        *,
        name: str,
        stream: Stream = "downstream",
        toxicity: float = 1.0,
    ) -> None:
        """Put a toxic on a proxy."""
        toxic = {
            "type": kind,
            "name": name,
            "stream": stream,
            "toxicity": toxicity,
            "attributes": dict(attributes),
        }
        self._ask("POST", f"/proxies/{proxy}/toxics", toxic)

    def remove(self, proxy: str, name: str) -> None:
        """Take a toxic off, if it is there."""
        self._ask("DELETE", f"/proxies/{proxy}/toxics/{name}", missing_ok=True)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, method: str, path: str, content: object = None, *, missing_ok: bool = False
    ) -> Any:
        try:
            answer = self._http.request(method, path, json=content)
        except httpx.HTTPError as error:
            raise PlatformFailed(
                f"the proxy at {self._http.base_url} does not answer ({error})"
            ) from None
        if answer.status_code == NOT_FOUND and missing_ok:
            return None
        if answer.is_error:
            raise PlatformFailed(f"the proxy refused: {_reason(answer)}")
        return answer.json() if answer.content else None


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
