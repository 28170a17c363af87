"""A Kubernetes API of the tests' own that a stack can be deployed to."""

from typing import Any

from aiohttp import web

from tarslab.stack.kubernetes.objects import CORE, GROUPED
from tests.chaos.platforms.api import Api, Json

COLLECTIONS = {f"{noun.replace('_', '')}s" for noun in CORE.values()} | set(GROUPED.values())
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}


class ClusterApi(Api):
    """It also applies objects, gives Services an address, and pods a log."""

    def __init__(self) -> None:
        super().__init__()
        self.policies = ["v1"]
        self.classes: list[Json] = [{"metadata": {"name": "fast", "annotations": DEFAULT}}]
        self.logs: dict[str, str] = {}
        """By the name of the pod; those of an ended process with `` before`` behind it."""

    def named(self, kind: str) -> set[str]:
        """The names of the objects of a kind."""
        plural = GROUPED.get(kind) or f"{CORE[kind].replace('_', '')}s"
        return {path.rpartition("/")[2] for path in self.objects if f"/{plural}/" in path}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/log"):
            pod = request.path.split("/")[-2]
            before = " before" if request.query.get("previous") == "true" else ""
            return web.Response(text=self.logs.get(pod + before, ""))
        return await super()._answer(request)

    async def _object(
        self, method: str, path: str, query: dict[str, str], body: Any
    ) -> web.Response:
        if method == "GET" and path in {f"/apis/policy/{version}" for version in self.policies}:
            return web.json_response({"resources": []})
        if method == "GET" and path == CLASSES:
            return web.json_response({"items": self.classes})
        collection = path.rpartition("/")[2]
        if method == "GET" and collection in COLLECTIONS and self._is_there(path):
            return self._listed(path, query)
        if method == "PATCH" and "fieldManager" in query:
            return await self._applied(path, body, query)
        return await super()._object(method, path, query, body)

    async def _applied(self, path: str, body: Json, query: dict[str, str]) -> web.Response:
        if body["kind"] == "Service":
            body["spec"]["clusterIP"] = f"10.96.0.{10 + len(self.named('Service'))}"
        if path in self.objects and body["kind"] == "Service":
            body["spec"]["clusterIP"] = self.objects[path]["spec"]["clusterIP"]
        if query.get("dryRun") == "All":
            return web.json_response(body)
        kept = await self._put(path, body)
        await self._reconcile()
        return web.json_response(kept)

    async def _deleted(self, path: str, options: Json | None) -> web.Response:
        if "/deployments/" in path and path in self.objects:
            # With it go its pods.
            self.objects[path]["spec"]["replicas"] = 0
            await self._reconcile()
        return await super()._deleted(path, options)

    def _listed(self, path: str, query: dict[str, str]) -> web.Response:
        wanted = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
        items = [
            each
            for each in self._of(path)
            if all(each["metadata"].get("labels", {}).get(key) == value for key, value in wanted)
        ]
        version = {"resourceVersion": str(self._version)}
        return web.json_response({"metadata": version, "items": items})

    def _is_there(self, path: str) -> bool:
        """Whether the cluster has the version of the API."""
        _, policy, rest = path.partition("/apis/policy/")
        return not policy or rest.split("/")[0] in self.policies
