"""Files of load: scenarios and thresholds in the vocabulary of k6's ``options``."""

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tarslab.chaos.documents import SUFFIXES, parse, text_of
from tarslab.chaos.load.durations import Duration
from tarslab.chaos.load.scenarios import EXECUTORS, Arrivals, Scenario
from tarslab.chaos.load.thresholds import Expression, Selector, Threshold, check
from tarslab.errors import BadArgument

NAME = re.compile(r"[A-Za-z0-9_-]+")


class LoadTest(Struct, frozen=True):
    """Scenarios that run beside or after each other, and what is promised of them."""

    scenarios: dict[str, Scenario]
    thresholds: dict[str, tuple[Threshold, ...]] = {}
    """By selector."""
    name: str = "load"

    @classmethod
    def of(cls, source: "LoadTest | Mapping[str, Any] | str | os.PathLike[str]") -> "LoadTest":
        """From a file (JSON or YAML), the name of a shipped one, or k6's options as a mapping.

        Raises:
            BadArgument: It is none, or cannot be read; the message says where and what can be
                written there.
        """
        if isinstance(source, LoadTest):
            return source
        if isinstance(source, Mapping):
            return _checked(source, "options")
        if str(source) in shipped():
            path = _shipped() / f"{source}.json"
            return _checked(json.loads(path.read_text()), str(source), name=str(source))
        path = Path(source)
        if not path.suffix and not path.exists():
            raise BadArgument(
                f"scenario {str(source)!r}: no file, and none of those that come with tarslab: "
                f"{', '.join(shipped())}"
            )
        return _checked(_read(path), str(path), name=path.stem)

    @property
    def duration(self) -> Duration:
        """Seconds until the last iteration starts."""
        return Duration(max(each.start_time + each.length for each in self.scenarios.values()))

    @property
    def peak_rate(self) -> float:
        """Arrivals a second, at most, of all scenarios together."""
        opened = [each for each in self.scenarios.values() if isinstance(each, Arrivals)]
        moments = {each.start_time + at for each in opened for at, _ in each.path}
        return max((sum(_rate_at(each, at) for each in opened) for at in moments), default=0.0)

    @property
    def expressions(self) -> list[tuple[Selector, Threshold]]:
        """Each threshold with what it is about."""
        return [
            (Selector.parse(about), each)
            for about, several in self.thresholds.items()
            for each in several
        ]

    def scaled(self, scale: float) -> "LoadTest":
        """The same with ``scale`` of the time: durations, stages and starts, but not the rates.

        Raises:
            BadArgument: ``scale`` is not above 0.
        """
        if not 0 < scale < float("inf"):
            raise BadArgument(f"scale must be above 0, not {scale!r}")
        if scale == 1:
            return self
        options = self.to_options()
        for scenario in options["scenarios"].values():
            for part in (scenario, *scenario.get("stages", ())):
                for name in ("startTime", "duration"):
                    if name in part:
                        part[name] = str(Duration(Duration.parse(part[name]) * scale))
        for several in options.get("thresholds", {}).values():
            for threshold in several:
                if isinstance(threshold, dict) and "delayAbortEval" in threshold:
                    delay = Duration.parse(threshold["delayAbortEval"])
                    threshold["delayAbortEval"] = str(Duration(delay * scale))
        return _checked(options, self.name, name=self.name)

    def named(self, name: str) -> "LoadTest":
        """The same by another name."""
        return msgspec.structs.replace(self, name=name)

    def to_options(self) -> dict[str, Any]:
        """As k6's ``options``; ``LoadTest.of`` gives the same again."""
        built: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        thresholds = {
            about: [each if len(each) > 1 else each["threshold"] for each in several]
            for about, several in built["thresholds"].items()
        }
        return {"scenarios": built["scenarios"]} | (
            {"thresholds": thresholds} if thresholds else {}
        )

    def dumps(self) -> str:
        """As the text of a file."""
        return json.dumps(self.to_options(), indent=2) + "\n"


def shipped() -> tuple[str, ...]:
    """Names of the files that come with tarslab."""
    files = _shipped().iterdir()
    return tuple(sorted(file.name.removesuffix(".json") for file in files))


def _shipped() -> Any:
    return resources.files("tarslab.chaos.load") / "shipped"


def _rate_at(scenario: Scenario, moment: float) -> float:
    """The higher rate, where it jumps."""
    at = moment - scenario.start_time
    rates = [0.0]
    for (start, low), (end, high) in zip(scenario.path, scenario.path[1:], strict=False):
        if start <= at <= end:
            rates += (
                [low, high] if start == end else [low + (high - low) * (at - start) / (end - start)]
            )
    return max(rates)


def _read(path: Path) -> Any:
    text = text_of(path)
    if path.suffix not in SUFFIXES:
        raise BadArgument(f"{path}: a scenario is a .json, .yaml or .yml file")
    return parse(text, path)


def _checked(options: object, where: str, *, name: str = "load") -> LoadTest:
    """Options as a LoadTest, or BadArgument that says where it goes wrong."""
    given = _mapping(options, where, ("scenarios", "thresholds"))
    scenarios = _mapping(given.get("scenarios"), f"{where}: scenarios")
    if not scenarios:
        raise BadArgument(f"{where}: scenarios: there is none")
    thresholds = _mapping(given.get("thresholds", {}), f"{where}: thresholds")
    return LoadTest(
        {of: _scenario(each, of, f"{where}: scenarios.{of}") for of, each in scenarios.items()},
        {
            about: _thresholds(about, each, f"{where}: thresholds.{about}")
            for about, each in thresholds.items()
        },
        name,
    )


def _scenario(given: object, name: str, where: str) -> Scenario:
    if not NAME.fullmatch(name):
        raise BadArgument(f"{where}: a name has letters, digits, _ and - only")
    members = _mapping(given, where)
    executor = members.get("executor")
    if executor not in EXECUTORS:
        near = _near(executor, EXECUTORS)
        raise BadArgument(f"{where}.executor: {executor!r} is none of {', '.join(EXECUTORS)}{near}")
    kind = EXECUTORS[executor]
    known = ("executor", *(each.encode_name for each in msgspec.structs.fields(kind)))
    _mapping(members, f"{where} ({executor})", known)
    scenario: Scenario = _converted(members, kind, where)
    _check_figures(scenario, where)
    return scenario


def _thresholds(about: str, given: object, where: str) -> tuple[Threshold, ...]:
    try:
        selector = Selector.parse(about)
    except ValueError as error:
        raise BadArgument(f"{where}: must be {error}") from None
    if not isinstance(given, list | tuple):
        raise BadArgument(f'{where}: must be a list such as ["p(95)<500"], not {given!r}')
    several = []
    for number, each in enumerate(given):
        place = f"{where}[{number}]"
        members = {"threshold": each} if isinstance(each, str) else each
        fields = tuple(field.encode_name for field in msgspec.structs.fields(Threshold))
        threshold = _converted(_mapping(members, place, fields), Threshold, place)
        try:
            expression = Expression.parse(threshold.threshold)
        except ValueError as error:
            raise BadArgument(f"{place}: must be {error}") from None
        try:
            check(selector, expression)
        except ValueError as error:
            raise BadArgument(f"{place}: {error}") from None
        several.append(threshold)
    return tuple(several)


def _check_figures(scenario: Scenario, where: str) -> None:
    stages = getattr(scenario, "stages", None)
    if stages is not None and not stages:
        raise BadArgument(f"{where}.stages: there is none")
    lowest = {"rate": 1, "vus": 1, "start_vus": 0, "start_rate": 0, "pre_allocated_vus": 0}
    for field_ in msgspec.structs.fields(type(scenario)):
        least = lowest.get(field_.name, 0)
        value = getattr(scenario, field_.name)
        if isinstance(value, int) and value < least:
            raise BadArgument(f"{where}.{field_.encode_name}: at least {least}, not {value}")
    for number, stage in enumerate(stages or ()):
        if stage.target < 0:
            raise BadArgument(f"{where}.stages[{number}].target: at least 0, not {stage.target}")
    if scenario.length <= 0:
        raise BadArgument(f"{where}: its duration must be above 0")
    if isinstance(scenario, Arrivals):
        if scenario.time_unit <= 0:
            raise BadArgument(f"{where}.timeUnit: must be above 0")
        if scenario.most_vus < max(1, scenario.pre_allocated_vus):
            raise BadArgument(
                f"{where}.maxVUs: at least 1 and preAllocatedVUs ({scenario.pre_allocated_vus}), "
                f"not {scenario.most_vus}"
            )


def _mapping(given: object, where: str, known: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise BadArgument(f"{where}: must be a mapping of names, not {given!r}")
    for key in given:
        if known is not None and key not in known:
            raise BadArgument(
                f"{where}: no field {key!r}; there are {', '.join(known)}{_near(key, known)}"
            )
    return given


def _near(given: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(given), list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _converted(members: Mapping[str, Any], kind: type[Any], where: str) -> Any:
    try:
        return msgspec.convert(dict(members), kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$")
        place = where + at.rstrip("`")
        what = what.replace("Object missing required field", "lacks")
        raise BadArgument(f"{place}: {what[0].lower()}{what[1:]}") from None


def _decode(kind: type[Any], value: object) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(kind)
