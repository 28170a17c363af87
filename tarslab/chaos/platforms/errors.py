"""What can go wrong at a platform."""

from tarslab.errors import TarslabError


class PlatformFailed(TarslabError, RuntimeError):
    """A platform is lost, or could not do what a fault or its undoing asked for."""


class PlatformGone(PlatformFailed):
    """A platform is not there any more, and nothing of what was done to it."""


class PlatformWarning(UserWarning):
    """It cannot be told whether a fault acts as it should."""
