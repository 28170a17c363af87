"""What can go wrong with a T.A.R.S. API, as a user of the clients meets it.

    TarslabError
    └── AdminError         base of all below; request_id, status, problem, retry_after
        ├── Unauthorized   401: no credentials, wrong ones, or a session that has ended
        ├── Forbidden      403: the credentials lack the scope
        ├── NotFound       404: nothing of this name
        ├── Conflict       409: not in the state that things are in
        ├── Invalid        400, 413, 422: the request cannot be used; fields
        ├── RateLimited    429: too many requests; retry_after
        ├── Unavailable    no connection, no answer in time, 502, 503, 504; maybe_done
        └── Unexpected     anything that the API does not say: a redirect, a page, a missing member

An argument or profile that cannot be used is tarslab.errors.BadArgument, before anything is sent.
Every message names the call, what the service said, the request id to look for in the audit log,
and the mend.
"""

from typing import TYPE_CHECKING

from tarslab.errors import TarslabError

if TYPE_CHECKING:
    from tarslab.admin.models import Problem


class AdminError(TarslabError):
    """Base of every error that a call of the admin clients raises on purpose."""

    def __init__(
        self,
        message: str,
        *,
        request_id: str | None = None,
        status: int | None = None,
        problem: "Problem | None" = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        """Of the request, the same in the services' logs and audit."""
        self.status = status
        """The HTTP status; None where there was no response."""
        self.problem = problem
        """What the service said (RFC 9457); None where it said nothing that can be read."""
        self.retry_after = retry_after
        """Seconds after which the service says to try again."""


class Unauthorized(AdminError):
    """The credentials are missing, wrong, expired or revoked."""


class Forbidden(AdminError):
    """The credentials are good, and lack the scope."""


class NotFound(AdminError):
    """The service has nothing of this name."""


class Conflict(AdminError):
    """The state of things does not allow it."""


class Invalid(AdminError):
    """The request cannot be used as it is."""

    @property
    def fields(self) -> dict[str, str]:
        """What is wrong, of each member of the request."""
        errors = self.problem.errors if self.problem else ()
        return {error.field: error.message for error in errors}


class RateLimited(AdminError):
    """Too many requests; ``retry_after`` says when the next may come."""


class Unavailable(AdminError):
    """No service to answer, or one that cannot at the moment."""

    maybe_done = False
    """Whether the request, or an attempt before it, may have been carried out all the same."""


class Unexpected(AdminError):
    """A response that is not what the API says: another server, or another version."""
