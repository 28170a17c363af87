"""A load test as a script of k6, or as what its operator runs on Kubernetes."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tarslab.chaos.load.flows import Flow, find
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.targets import PASSWORD, USERNAME
from tarslab.chaos.load.thresholds import Selector
from tarslab.errors import BadArgument

URL = "TARSLAB_URL"
# The secret of Kubernetes that has the credentials, and its members.
SECRET = "tarslab-load"
# Of the tags that k6 knows those that a result has.
TAGS = ("scenario", "name", "method", "status", "expected_response", "error_code", "check")
# What k6 does not measure.
OWN = ("dispatch_lateness", "flow_errors", "http_req_service_duration")
IMPORT = re.compile(r"^import\s.*?;\s*$", re.MULTILINE)


def export(
    scenario: LoadTest | Mapping[str, Any] | str,
    *,
    format: Literal["k6", "k6-operator"] = "k6",
    scale: float = 1.0,
    target: str | None = None,
    parallelism: int = 4,
) -> str:
    """A scenario as the text of a k6 script, or of manifests for the k6 operator.

    The script finds its target in the variable ``TARSLAB_URL``, and its users in
    ``TARSLAB_USERNAME`` and ``TARSLAB_PASSWORD``. The manifests are a ConfigMap with the script
    and a TestRun, whose runners have the credentials from a Secret ``tarslab-load`` that you make:

        kubectl create secret generic tarslab-load --from-literal=username=... \\
            --from-file=password=...

    scenario, scale: as of ``run_load``.
    target: the URL of the deployment as the operator's runners see it; for ``k6-operator``.
    parallelism: how many runners share the load; for ``k6-operator``.

    Raises:
        BadArgument: A flow has no twin in JavaScript, or an argument cannot be used.
    """
    test = LoadTest.of(scenario).scaled(scale)
    text = script(test, find([each.exec for each in test.scenarios.values()]))
    if format == "k6":
        return text
    if format != "k6-operator":
        raise BadArgument(f"format: must be k6 or k6-operator, not {format!r}")
    if target is None:
        raise BadArgument("target: the URL of the deployment as the runners see it")
    if parallelism < 1:
        raise BadArgument(f"parallelism: at least 1, not {parallelism}")
    return _manifests(test, text, target, parallelism)


def script(test: LoadTest, flows: Mapping[str, Flow]) -> str:
    """The script of a test, with the flows that it uses."""
    sources = _sources(flows.values())
    imports = dict.fromkeys(each.strip() for text in sources for each in IMPORT.findall(text))
    options = test.to_options()
    options["thresholds"] = {
        about: several
        for about, several in options.get("thresholds", {}).items()
        if Selector.parse(about).metric not in OWN
    }
    options["systemTags"] = TAGS
    parts = [
        "\n".join(imports),
        f"export const options = {json.dumps(options, indent=2)};",
        *(IMPORT.sub("", text).strip() for text in sources),
    ]
    return "\n\n".join(parts) + "\n"


def _sources(flows: Iterable[Flow]) -> list[str]:
    paths = {}
    for flow in flows:
        if flow.k6 is None:
            raise BadArgument(
                f"exec: the flow {flow.name!r} has no twin in JavaScript: write one, and name its "
                "file by @flow(k6=...)"
            )
        paths[flow.k6] = flow.name
    sources = []
    for path, name in paths.items():
        try:
            sources.append(path.read_text())
        except OSError as error:
            raise BadArgument(f"{path}: the twin of {name!r} cannot be read ({error})") from None
    return sources


def _manifests(test: LoadTest, text: str, target: str, parallelism: int) -> str:
    import yaml

    name = re.sub(r"[^a-z0-9]+", "-", test.name.lower()).strip("-") or "load"
    file = f"{name}.js"

    def secret(member: str) -> dict[str, Any]:
        return {"secretKeyRef": {"name": SECRET, "key": member}}

    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {file: text},
    }
    run = {
        "apiVersion": "k6.io/v1alpha1",
        "kind": "TestRun",
        "metadata": {"name": name},
        "spec": {
            "parallelism": parallelism,
            "script": {"configMap": {"name": name, "file": file}},
            "arguments": "--no-usage-report",
            "runner": {
                "env": [
                    {"name": URL, "value": target},
                    {"name": USERNAME, "valueFrom": secret("username")},
                    {"name": PASSWORD, "valueFrom": secret("password")},
                ]
            },
        },
    }
    return str(yaml.dump_all([config, run], Dumper=_dumper(), sort_keys=False))


def _dumper() -> Any:
    """One that writes a script as the lines that it has."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
