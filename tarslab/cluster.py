"""A Kubernetes API, as it is asked here: plain JSON, with what can go wrong told apart.

The generated client serves for its requests and credentials alone. Its models follow the latest
Kubernetes, and would not read what an older one answers.
"""

import json
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

from tarslab.errors import BadArgument, PlatformFailed

T = TypeVar("T")
Json = dict[str, Any]

# Seconds that an answer may take, a command in a container, and for which a request is tried again
# where the API is overloaded or lost.
ANSWER, COMMAND, PATIENCE = 10.0, 20.0, 30.0
FIRST, LAST = 0.2, 5.0

FORBIDDEN, NOT_FOUND, CONFLICT, GONE, MANY = (401, 403), 404, 409, 410, 429
OVERLOADED = (MANY, 500, 502, 503, 504)


# Namespaces that keep a cluster going, and what those of its distributions begin with.
PROTECTED = frozenset({"kube-system", "kube-public", "kube-node-lease"})
PROTECTED_PREFIXES = ("kube-", "openshift-", "istio-", "cert-manager", "gke-", "calico-")


def is_protected(namespace: str) -> bool:
    """Whether a namespace is one that keeps a cluster going."""
    return namespace in PROTECTED or namespace.startswith(PROTECTED_PREFIXES)


class NotThere(PlatformFailed):
    """The API knows no such object, or no such kind of object."""


class Conflict(PlatformFailed):
    """An object was changed, replaced or made by somebody else meanwhile."""


class NotAllowed(PlatformFailed):
    """The user may not do that: the message says which right is lacking."""


class Overloaded(PlatformFailed):
    """The API says that it is too busy, or lets nothing be disrupted now."""

    retry_after = 0.0
    """Seconds to wait, by its word."""


class Lost(PlatformFailed):
    """The API does not answer."""


class Cluster:
    """The API of a context in a kubeconfig."""

    def __init__(self, context: str, kubeconfig: str | None, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._settings = client.Configuration()
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, context, self._settings, persist_config=False
            )
        except config.ConfigException as error:
            raise BadArgument(
                f"context: {context!r} cannot be used ({error}); kubectl config get-contexts "
                "lists those there are"
            ) from None
        # What is tried again, and for how long, is said here.
        self._settings.retries = False
        self._api = client.ApiClient(self._settings)
        self.core = client.CoreV1Api(self._api)
        self.apps = client.AppsV1Api(self._api)
        self.networking = client.NetworkingV1Api(self._api)
        self.custom = client.CustomObjectsApi(self._api)
        self.code = client.VersionApi(self._api)

    def ask(self, what: str, method: Callable[..., Any], *args: Any, **options: Any) -> Json:
        """What the API answers; tried again while it is lost, or says that it is too busy.

        what: what is asked for, for the message of an error.
        """
        deadline = time.monotonic() + self._patience
        delay = FIRST
        while True:
            try:
                return self._once(what, method, *args, **options)
            except (Overloaded, Lost) as error:
                wait = max(delay, error.retry_after if isinstance(error, Overloaded) else 0)
                if time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)
            delay = min(2 * delay, LAST)

    def until(
        self,
        what: str,
        method: Callable[..., Any],
        *args: Any,
        condition: Callable[[list[Json]], T | None],
        timeout: float,
        **options: Any,
    ) -> T:
        """Watch a list until a condition on its objects gives something; PlatformFailed if late.

        A watch that ends, is too old (410) or is lost begins anew with a list.
        """
        deadline = time.monotonic() + timeout
        while True:
            listed = self.ask(what, method, *args, **options)
            objects = {_uid(each): each for each in listed["items"]}
            if (found := condition(list(objects.values()))) is not None:
                return found
            version = listed["metadata"]["resourceVersion"]
            with suppress(_Stale, Lost, Overloaded):
                events = self._events(what, method, args, options, version, deadline)
                with closing(events):
                    for kind, changed in events:
                        if kind == "DELETED":
                            objects.pop(_uid(changed), None)
                        else:
                            objects[_uid(changed)] = changed
                        if (found := condition(list(objects.values()))) is not None:
                            return found
            if time.monotonic() > deadline:
                raise PlatformFailed(f"{what}: not there after {timeout:g} s")
            time.sleep(FIRST)

    def run(self, namespace: str, pod: str, container: str, script: str) -> tuple[int, str]:
        """Run a shell script in a container: its exit code, and what it said."""
        # Exec takes the client's requests over for a moment: it has one of its own.
        with client.ApiClient(self._settings) as api:
            what = f"exec in pod {namespace}/{pod}"
            try:
                session = stream(
                    client.CoreV1Api(api).connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    container=container,
                    command=["/bin/sh", "-c", script],
                    stdin=False,
                    stdout=True,
                    stderr=True,
                    tty=False,
                    _preload_content=False,
                    _request_timeout=ANSWER,
                )
                try:
                    session.run_forever(COMMAND)
                    if session.is_open():
                        raise PlatformFailed(f"{what}: no end after {COMMAND:g} s")
                    # What was said is read last: with it the rest goes.
                    code = _exit_code(session, what)
                    return code, str(session.read_all()).strip()
                finally:
                    # Its close leaves the socket open where the other side was first.
                    session.sock.shutdown()
            except ApiException as error:
                # That the API refused is said by the text alone.
                refused = re.match(r"Handshake status (\d+) ([^-]*)", str(error.reason))
                if refused:
                    error = ApiException(int(refused[1]), refused[2].strip())
                raise _told(what, error) from None
            except (OSError, WebSocketException) as error:
                raise Lost(f"{what}: the API does not answer ({_short(error)})") from None

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()  # type: ignore[no-untyped-call]

    def _once(self, what: str, method: Callable[..., Any], *args: Any, **options: Any) -> Json:
        answer = self._raw(what, method, *args, _request_timeout=ANSWER, **options)
        try:
            return dict(json.loads(answer.data))
        except (HTTPError, OSError) as error:
            raise Lost(f"{what}: the answer was cut off ({_short(error)})") from None

    def _events(
        self,
        what: str,
        method: Callable[..., Any],
        args: Iterable[Any],
        options: Mapping[str, Any],
        version: str,
        deadline: float,
    ) -> Generator[tuple[str, Json]]:
        seconds = max(1, int(deadline - time.monotonic()) + 1)
        answer = self._raw(
            what,
            method,
            *args,
            watch=True,
            resource_version=version,
            timeout_seconds=seconds,
            _request_timeout=(ANSWER, seconds + ANSWER),
            **options,
        )
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _Stale if event["object"].get("code") == GONE else Lost(what)
                yield event["type"], event["object"]
        except (HTTPError, OSError) as error:
            raise Lost(f"{what}: the watch was lost ({_short(error)})") from None
        finally:
            answer.close()

    def _raw(self, what: str, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return method(*args, _preload_content=False, **options)
        except ApiException as error:
            raise _told(what, error) from None
        except (HTTPError, OSError) as error:
            raise Lost(f"{what}: the API does not answer ({_short(error)})") from None


class _Stale(Exception):
    """A watch from a version that the API does not have any more."""


def _told(what: str, error: ApiException) -> Exception:
    said = f"{what}: {_message(error)}"
    if error.status == GONE:
        return _Stale(said)
    if error.status in FORBIDDEN:
        return NotAllowed(said)
    if error.status == NOT_FOUND:
        return NotThere(said)
    if error.status == CONFLICT:
        return Conflict(said)
    if error.status in OVERLOADED:
        busy = Overloaded(said)
        with suppress(KeyError, ValueError):
            busy.retry_after = float((error.headers or {})["Retry-After"])
        return busy
    if not error.status:
        return Lost(said)
    return PlatformFailed(said)


def _message(error: ApiException) -> str:
    with suppress(TypeError, ValueError, KeyError):
        return str(json.loads(error.body or "")["message"])
    return str(error.reason)


def _short(error: Exception) -> str:
    return type(getattr(error, "reason", None) or error).__name__


def _exit_code(session: Any, what: str) -> int:
    try:
        return int(session.returncode)
    # The connection ended without a word about the command.
    except (TypeError, KeyError, ValueError):
        raise Lost(f"{what}: the connection was lost") from None


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for part in answer.stream(amt=None, decode_content=False):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line.strip())


def _uid(each: Json) -> str:
    return str(each["metadata"]["uid"])
