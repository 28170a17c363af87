"""A Kubernetes API in a thread of this process, with what it takes to be in the way.

It keeps objects, versions and watches as Kubernetes does, and replaces pods as its controllers do.
Where it is to answer otherwise, by an error or a lost connection, that is laid down beforehand.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from aiohttp import WSMsgType, web

Json = dict[str, Any]
T = TypeVar("T")

LABEL = "app.kubernetes.io/name"
LOST = 0
"""In place of a status: the connection is lost."""


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class Wrong(NamedTuple):
    """An answer that is laid down."""

    method: str
    ending: str
    status: int
    message: str
    headers: dict[str, str]
    within: bool


class Api:
    """The API; ``asked`` is what has been, ``objects`` is what there is, by path."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.objects: dict[str, Json] = {}
        self.scripts: deque[tuple[int, str]] = deque()
        """Exit code and output of the commands that are run in containers from now on."""
        self.ran: list[tuple[str, str]] = []
        """Pod and script of those that were."""
        self.on_run: Callable[[str], None] = lambda pod: None
        self.eviction = "v1"
        self.ready_at_once = True
        """Whether new pods are ready when they are made."""
        self.reconciles = True
        """Whether the controllers do their work at once; else when ``reconcile`` is called."""
        self._wrong: list[Wrong] = []
        self._version = 100
        self._events: list[tuple[int, str, str, Json]] = []
        self._oldest = 0
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Condition()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = self._run(self._serve())

    def close(self) -> None:
        """End."""
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kubeconfig(self, path: Path, context: str = "test") -> Path:
        """Write a kubeconfig for it."""
        server = {"server": f"http://127.0.0.1:{self.port}"}
        known = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": {"token": "a-token"}}],
            "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
            "current-context": context,
        }
        path.write_text(json.dumps(known))
        return path

    def wrong(
        self,
        method: str,
        ending: str,
        status: int,
        message: str = "",
        *,
        times: int = 1,
        within: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer the next requests whose path ends so otherwise.

        method: WATCH for a GET that watches. within: in the middle of that watch.
        """
        self._wrong += [Wrong(method, ending, status, message, headers or {}, within)] * times

    def put_right(self) -> None:
        """Answer as it should from now on."""
        self._wrong.clear()

    def close_port(self) -> None:
        """Listen no more."""
        self._run(self._runner.cleanup())

    def put(self, path: str, each: Json) -> Json:
        """Make or change an object."""
        return self._run(self._put(path, each))

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._run(self._remove(path))

    def reconcile(self) -> None:
        """Have the controllers do their work."""
        self.reconciles = True
        self._run(self._reconcile())

    def forget_versions(self) -> None:
        """Have watches from before this moment answered by 410."""
        self._oldest = self._version

    def requests(self, method: str, ending: str = "") -> list[Asked]:
        """Those of a method whose path ends so."""
        return [each for each in self.asked if each.method == method and each.path.endswith(ending)]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        # A watch ends with its client.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path.rstrip("/"), dict(request.query)
        watches = query.get("watch", "").lower() == "true"
        kind = "WATCH" if watches else request.method
        body = await request.json() if request.can_read_body else None
        self.asked.append(Asked(kind, path, query, body))
        for each in self._wrong:
            if each.method == kind and path.endswith(each.ending) and not each.within:
                self._wrong.remove(each)
                if each.status == LOST:
                    assert request.transport is not None
                    request.transport.abort()
                return _status(each.status or 500, each.message, each.headers)
        if path == "/version":
            return web.json_response({"gitVersion": "v1.99.0"})
        if path == "/api/v1":
            eviction = {"name": "pods/eviction", "group": "policy", "version": self.eviction}
            return web.json_response({"resources": [{"name": "pods"}, eviction]})
        if path.endswith("/exec"):
            return await self._exec(request, path)
        if path.endswith("/eviction"):
            return await self._deleted(path.removesuffix("/eviction"), body)
        if kind == "WATCH":
            return await self._watch(request, path, query)
        return await self._object(kind, path, query, body)

    async def _object(
        self, method: str, path: str, query: dict[str, str], body: Any
    ) -> web.Response:
        if method == "POST":
            whole = f"{path}/{body['metadata']['name']}"
            if whole in self.objects:
                return _status(409, f"{whole} already exists", reason="AlreadyExists")
            return web.json_response(await self._put(whole, body), status=201)
        if path in self.objects:
            if method == "GET":
                return web.json_response(self.objects[path])
            if method == "DELETE":
                return await self._deleted(path, body)
            return await self._patched(path, body)
        if method == "GET" and path.rpartition("/")[2] in COLLECTIONS:
            items = [each for each in self._of(path) if _selected(each, query)]
            version = {"resourceVersion": str(self._version)}
            return web.json_response({"metadata": version, "items": items})
        return _status(404, f"{path} not found")

    async def _patched(self, path: str, body: Json) -> web.Response:
        found = self.objects[path]
        version = body.get("metadata", {}).pop("resourceVersion", None)
        if version not in (None, found["metadata"]["resourceVersion"]):
            return _status(409, "the object has been modified")
        patched = await self._put(path, _merged(found, body))
        await self._reconcile()
        return web.json_response(patched)

    async def _deleted(self, path: str, options: Json | None) -> web.Response:
        found = self.objects.get(path)
        if found is None:
            return _status(404, f"{path} not found")
        wanted = ((options or {}).get("preconditions") or {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            return _status(409, "the UID in the precondition does not match")
        await self._remove(path)
        await self._reconcile()
        return web.json_response(found)

    async def _reconcile(self) -> None:
        """What the controllers do: as many pods as each Deployment says."""
        for path, each in list(self.objects.items()):
            if "/deployments/" not in path or not self.reconciles:
                continue
            pods = path.partition("/deployments/")[0].replace("/apis/apps/v1", "/api/v1") + "/pods"
            name, wanted = each["metadata"]["name"], each["spec"]["replicas"]
            its = [pod for pod in self._of(pods) if pod["metadata"]["name"].startswith(name + "-")]
            for pod in its[wanted:]:
                await self._remove(f"{pods}/{pod['metadata']['name']}")
            for _ in range(wanted - len(its)):
                labels = each["spec"]["template"]["metadata"]["labels"]
                made = pod_of(f"{name}-{self._version}", labels, ready=self.ready_at_once)
                await self._put(f"{pods}/{made['metadata']['name']}", made)

    async def _put(self, path: str, each: Json) -> Json:
        kind = "MODIFIED" if path in self.objects else "ADDED"
        self._version += 1
        there = self.objects.get(path, {"metadata": {"uid": f"uid-{self._version}"}})
        metadata = {"uid": there["metadata"]["uid"], "generation": 1} | each.get("metadata", {})
        metadata |= {"resourceVersion": str(self._version)}
        kept = each | {"metadata": metadata}
        if "deployments" in path or "statefulsets" in path:
            wanted = kept["spec"]["replicas"]
            status = {"observedGeneration": metadata["generation"], "replicas": wanted}
            kept = kept | {"status": status | {"updatedReplicas": wanted}}
        self.objects[path] = kept
        await self._happened(kind, path, kept)
        return kept

    async def _remove(self, path: str) -> None:
        self._version += 1
        await self._happened("DELETED", path, self.objects.pop(path))

    async def _happened(self, kind: str, path: str, each: Json) -> None:
        self._events.append((self._version, kind, path, each))
        async with self._changed:
            self._changed.notify_all()

    async def _watch(
        self, request: web.Request, path: str, query: dict[str, str]
    ) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        seen = int(query["resourceVersion"])

        async def say(kind: str, each: Json) -> None:
            await answer.write(json.dumps({"type": kind, "object": each}).encode() + b"\n")

        async def go_on() -> None:
            nonlocal seen
            while True:
                for each in [each for each in self._events if each[0] > seen]:
                    if each[2].startswith(path + "/") and _selected(each[3], query):
                        await say(each[1], each[3])
                    seen = each[0]
                async with self._changed:
                    await self._changed.wait()

        for wrong in [each for each in self._wrong if each.within and path.endswith(each.ending)]:
            self._wrong.remove(wrong)
            if wrong.status == LOST:
                assert request.transport is not None
                request.transport.abort()
                return answer
            await say("ERROR", {"code": wrong.status, "message": wrong.message})
            return answer
        if seen < self._oldest:
            await say("ERROR", {"code": 410, "reason": "Expired", "message": "too old"})
            return answer
        try:
            async with asyncio.timeout(float(query["timeoutSeconds"])):
                await go_on()
        except (TimeoutError, ConnectionError):
            pass
        return answer

    async def _exec(self, request: web.Request, path: str) -> web.StreamResponse:
        pod = path.removesuffix("/exec")
        if pod not in self.objects:
            return _status(404, f"{pod} not found")
        name = pod.rpartition("/")[2]
        self.ran.append((name, request.query.getall("command")[-1]))
        session = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await session.prepare(request)
        code, said = self.scripts.popleft()
        await self._loop.run_in_executor(None, self.on_run, pod)
        if code == LOST and said == "lost":
            assert request.transport is not None
            request.transport.abort()
            return session
        if said:
            await session.send_bytes(b"\x01" + said.encode())
        outcome: Json = {"status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            outcome = {"status": "Failure", "details": {"causes": causes}}
        await session.send_bytes(b"\x03" + json.dumps(outcome).encode())
        await session.close()
        async for message in session:
            assert message.type != WSMsgType.ERROR
        return session

    def _of(self, collection: str) -> list[Json]:
        inside = collection + "/"
        return [each for path, each in self.objects.items() if path.startswith(inside)]


COLLECTIONS = (
    *("pods", "services", "nodes", "deployments", "statefulsets", "networkpolicies"),
    "poddisruptionbudgets",
)


def pod_of(name: str, labels: Json, *, ready: bool = True, owner: str | None = "") -> Json:
    """A pod; owner: kind and name of its controller, by default a ReplicaSet; None: it has none."""
    kind, _, of = (owner or f"ReplicaSet {name.rpartition('-')[0]}-5d4").partition(" ")
    owners = [] if owner is None else [{"kind": kind, "name": of, "controller": True}]
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    container = {"name": "web", "restartCount": 0, "state": {"running": {}}}
    return {
        "metadata": {"name": name, "labels": labels, "ownerReferences": owners},
        "spec": {"nodeName": "node1", "containers": [{"name": "web"}, {"name": "side"}]},
        "status": {
            "phase": "Running",
            "startTime": "2026-01-02T03:04:05Z",
            "conditions": [condition],
            "containerStatuses": [container],
        },
    }


def deployment_of(name: str, replicas: int) -> Json:
    """A Deployment of a service's pods."""
    template = {"metadata": {"labels": {LABEL: name}}}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "template": template}}


def _status(
    code: int, message: str, headers: dict[str, str] | None = None, reason: str = ""
) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message}
    return web.json_response(body | {"reason": reason}, status=code, headers=headers)


def _selected(each: Json, query: dict[str, str]) -> bool:
    labels = each["metadata"].get("labels", {})
    wanted = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
    if any(labels.get(name) != value for name, value in wanted):
        return False
    field, _, value = query.get("fieldSelector", "").partition("=")
    known = {
        "": "",
        "metadata.name": each["metadata"]["name"],
        "spec.nodeName": each.get("spec", {}).get("nodeName"),
    }
    return bool(known[field] == value)


def _merged(into: Json, patch: Json) -> Json:
    """RFC 7396."""
    merged = dict(into)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key) or {}, value)
        else:
            merged[key] = value
    return merged
