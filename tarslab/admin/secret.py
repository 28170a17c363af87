"""A value that does not show itself."""

import hmac


class Secret:
    """A password, key or token: ``reveal()`` gives it, nothing else does.

    Shown as ten asterisks whatever its length, compared in constant time, and refused by pickle
    and copy. Put it where it is needed (``secret.reveal()``), not into a notebook's output.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: "str | Secret") -> None:
        if not isinstance(value, str | Secret):
            raise TypeError(f"a secret is text, not {type(value).__name__}")
        self._value: str = value if isinstance(value, str) else value.reveal()

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (value.reveal().encode(errors="surrogatepass") for value in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __reduce_ex__(self, protocol: object) -> "str | tuple[object, ...]":
        raise TypeError("a secret is not pickled or copied: reveal() it where it is needed")


HIDDEN = "*" * 10
