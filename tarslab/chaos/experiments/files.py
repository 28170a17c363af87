"""Files of experiments: Chaos Toolkit's format, checked before anything is touched.

What is promised of an experiment stands in the extension ``tarslab`` of its file:

    extensions:
      - name: tarslab
        criteria:
          - criterion: every service is back within 30 s
            measure: recovery
            required: "< 30"
"""

import copy
import difflib
import os
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tarslab.chaos.documents import SUFFIXES, parse, text_of
from tarslab.chaos.experiments.measures import Criterion
from tarslab.errors import BadArgument

# https://chaostoolkit.org/reference/api/experiment/
KEYS = (
    "configuration",
    "contributions",
    "controls",
    "description",
    "extensions",
    "method",
    "rollbacks",
    "runtime",
    "secrets",
    "steady-state-hypothesis",
    "tags",
    "title",
    "version",
)
NEEDED = ("title", "description", "method")
HYPOTHESIS = "steady-state-hypothesis"
EXTENSION = "tarslab"
ACTIONS = "tarslab.chaos.experiments.actions"

Activity = dict[str, Any]
Source = Mapping[str, Any] | str | os.PathLike[str]


class Experiment:
    """An experiment that can be run: Chaos Toolkit's content, and the criteria in it."""

    def __init__(self, content: Mapping[str, Any], name: str, where: str) -> None:
        self.content: dict[str, Any] = copy.deepcopy(dict(content))
        """As Chaos Toolkit takes it."""
        self.name = name
        self.criteria = _criteria(self.content, where)

    @classmethod
    def of(cls, source: "Experiment | Source") -> "Experiment":
        """From the name of a shipped one, a file of JSON or YAML, or its content.

        Raises:
            BadArgument: It is none, or cannot be run; the message says where.
        """
        if isinstance(source, Experiment):
            return source
        if isinstance(source, Mapping):
            _check(source, "experiment")
            return cls(source, "experiment", "experiment")
        path = Path(source)
        if str(source) in shipped():
            path = shipped_path(str(source))
        elif not path.suffix and not path.exists():
            raise BadArgument(
                f"experiment {str(source)!r}: no file, and none of those that come with tarslab: "
                f"{', '.join(shipped())}"
            )
        content = _mapping(_read(path), str(path))
        _check(content, str(path))
        return cls(content, path.stem, str(path))

    @property
    def title(self) -> str:
        """What it asks."""
        return str(self.content["title"])

    @property
    def description(self) -> str:
        """In words."""
        return " ".join(str(self.content["description"]).split())

    @property
    def activities(self) -> list[Activity]:
        """Those of its method."""
        return list(self.content["method"])

    def has(self, function: str) -> bool:
        """Whether its method has an action of tarslab."""
        return any(_function(each) == function for each in self.activities)

    def with_variables(self, variables: Mapping[str, Any]) -> "Experiment":
        """The same with other values of its configuration; BadArgument for one it has not."""
        content = copy.deepcopy(self.content)
        known = content.setdefault("configuration", {})
        for name, value in variables.items():
            if name not in known:
                have = ", ".join(known) or "none"
                raise BadArgument(f"variables: {self.name} has {have}, and not {name!r}")
            known[name] = value
        return Experiment(content, self.name, self.name)


def shipped() -> tuple[str, ...]:
    """Names of the experiments that come with tarslab."""
    files = (resources.files("tarslab.chaos.experiments") / "shipped").iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files))


def shipped_path(name: str) -> Path:
    """The file of one of them, for ``chaos run`` too."""
    if name not in shipped():
        raise BadArgument(f"name must be one of {', '.join(shipped())}, not {name!r}")
    return Path(str(resources.files("tarslab.chaos.experiments") / "shipped" / f"{name}.yaml"))


def _check(content: Mapping[str, Any], where: str) -> None:
    for key in NEEDED:
        # A method may be empty.
        if content.get(key) in (None, ""):
            raise BadArgument(f"{where}: {key}: missing")
    for key in content:
        near = difflib.get_close_matches(key, KEYS, 1, 0.8)
        if key not in KEYS and near:
            raise BadArgument(
                f"{where}: {key}: not known to Chaos Toolkit; did you mean {near[0]}?"
            )
    for path, activity in _activities(content, where):
        _check_activity(activity, path)
    _check_whole(content, where)


def _activities(content: Mapping[str, Any], where: str) -> Iterator[tuple[str, Activity]]:
    """Each activity, with where it stands."""
    hypothesis = _mapping(content.get(HYPOTHESIS) or {}, f"{where}: {HYPOTHESIS}")
    lists = {
        f"{HYPOTHESIS}.probes": hypothesis.get("probes", []),
        "method": content["method"],
        "rollbacks": content.get("rollbacks", []),
    }
    for key, activities in lists.items():
        if not isinstance(activities, list):
            raise BadArgument(f"{where}: {key}: must be a list of activities")
        for number, activity in enumerate(activities):
            path = f"{where}: {key}[{number}]"
            yield path, dict(_mapping(activity, path))


def _check_activity(activity: Activity, path: str) -> None:
    from chaoslib.activity import ensure_activity_is_valid
    from chaoslib.exceptions import ChaosException

    named = f"{path} ({activity['name']})" if activity.get("name") else path
    provider = activity.get("provider", {})
    _mapping(provider, f"{named}.provider")
    _mapping(provider.get("arguments", {}), f"{named}.provider.arguments")
    try:
        ensure_activity_is_valid(activity)
    except ChaosException as error:
        raise BadArgument(f"{named}: {error}") from None
    if _function(activity) == "load":
        _check_load(provider["arguments"].get("scenario"), f"{named}.provider.arguments.scenario")


def _check_load(scenario: object, where: str) -> None:
    from tarslab.chaos.load.loadtest import LoadTest

    if isinstance(scenario, Mapping | str):
        # One that a variable names is known when it runs.
        if isinstance(scenario, str) and "${" in scenario:
            return
        try:
            LoadTest.of(scenario)
        except BadArgument as error:
            raise BadArgument(f"{where}: {error}") from None


def _check_whole(content: Mapping[str, Any], where: str) -> None:
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    try:
        ensure_experiment_is_valid(copy.deepcopy(dict(content)))
    except ChaosException as error:
        raise BadArgument(f"{where}: {error}") from None


def _criteria(content: dict[str, Any], where: str) -> tuple[Criterion, ...]:
    found: list[Criterion] = []
    for number, extension in enumerate(content.get("extensions") or ()):
        if extension["name"] == EXTENSION:
            path = f"{where}: extensions[{number}].criteria"
            criteria = extension.get("criteria", [])
            if not isinstance(criteria, list):
                raise BadArgument(f"{path}: must be a list")
            for place, each in enumerate(criteria):
                given = _mapping(each, f"{path}[{place}]")
                try:
                    found.append(Criterion.of(given))
                except ValueError as error:
                    raise BadArgument(f"{path}[{place}].{error}") from None
    return tuple(found)


def _function(activity: Activity) -> str | None:
    provider = activity.get("provider", {})
    return provider.get("func") if provider.get("module") == ACTIONS else None


def _mapping(given: object, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise BadArgument(f"{where}: must be a mapping of names, not {given!r}")
    return given


def _read(path: Path) -> Any:
    if path.suffix not in SUFFIXES:
        raise BadArgument(f"{path}: an experiment is a .json, .yaml or .yml file")
    return parse(text_of(path), path)
