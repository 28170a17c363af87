"""What an attack is, and how the defence against it is taken out."""

import inspect
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

import pytest

from tests.stack.served import Served, Valkey

Mutate = Callable[[pytest.MonkeyPatch], None]


class Attack(NamedTuple):
    """Something that must not succeed; and what has to be taken out for it to succeed."""

    name: str
    breach: Callable[..., bool]
    """Makes the attempt, against what is served; whether it got through."""
    mutate: Mutate


class Target(NamedTuple):
    """A service with a Redis of its own, which an attack may break."""

    served: Served
    valkey: Valkey


def without(function: Any, defence: str, instead: str, **names: Any) -> Mutate:
    """Have ``instead`` in the place of ``defence`` in a function's source, wherever it is held.

    ``names`` are added to the function's module for what stands there instead.
    """

    def mutate(patch: pytest.MonkeyPatch) -> None:
        # As another mutation has left it, or as it is written.
        source = vars(function).get("source") or textwrap.dedent(inspect.getsource(function))
        assert source.count(defence) == 1, f"{function.__qualname__}: {defence!r}"
        mutated = source.replace(defence, instead)
        code = compile(mutated, inspect.getfile(function), "exec")
        patch.setitem(vars(function), "source", mutated)
        for name, value in names.items():
            patch.setitem(function.__globals__, name, value)
        patch.setattr(function, "__code__", _named(code, function.__name__))

    return mutate


def constant(owner: Any, name: str, value: Any) -> Mutate:
    """Have another value of a constant."""
    return lambda patch: patch.setattr(owner, name, value)


def all_of(*mutations: Mutate) -> Mutate:
    """Several defences, each of which would do, or one that stands in several places."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        for mutation in mutations:
            mutation(patch)

    return mutate


def _named(code: CodeType, name: str) -> CodeType:
    return next(
        part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name
    )
