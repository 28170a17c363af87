"""What can go wrong at a platform."""

from tarslab.errors import PlatformFailed


class PlatformGone(PlatformFailed):
    """A platform is not there any more, and nothing of what was done to it."""


class PlatformWarning(UserWarning):
    """It cannot be told whether a fault acts as it should."""
