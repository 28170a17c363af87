"""What can go wrong, as a user meets it.

    TarslabError
    ├── BadArgument     an argument, option or notebook parameter that cannot be used
    │   ├── NotLogged   a metric that none of the runs has
    │   └── NoTrials    a study without the trials that are asked about
    ├── LogNotFound     nothing to read where the user pointed
    ├── BadLog          a file that cannot be read as what it claims to be
    ├── StudyNotFound   no study of this name, or no storage of studies there
    ├── BadStudy        a storage of studies that cannot be read
    ├── NotebookFailed  a notebook whose execution stopped
    ├── StackFailed     a stack that does not come up, or is down
    ├── PlatformFailed  a cluster or stack that is lost, or did not do what was asked of it
    ├── AdminError      what an admin API answered; its children are in tarslab.admin
    └── of tarslab.chaos, where they stand:
        ├── LoadFailed        a run of load that did not start, or broke off
        ├── ExperimentFailed  an experiment that broke off; .result has what was measured
        ├── SearchFailed      a search that did not come as far as it had to
        ├── Refused           a fault that the guard rails do not let through
        ├── Overran           a fault that was undone before its end
        └── ProbesFailed      probes that could not be started, or broke off

    LogWarning          part of a file could not be used; the rest was read

Every message names the file or the argument, and the mend.
"""


class TarslabError(Exception):
    """Base of every error that tarslab raises on purpose."""


class BadArgument(TarslabError, ValueError):
    """An argument, option or notebook parameter cannot be used; the message lists what can."""


class NotLogged(BadArgument):
    """None of the runs has the metric; the message lists those there are."""


class NoTrials(BadArgument):
    """A study lacks the trials that are asked about; the message says which it has."""


class LogNotFound(TarslabError, FileNotFoundError):
    """No training log where the user pointed; the message says what was looked for and seen."""


class BadLog(TarslabError, ValueError):
    """A log file cannot be read as what it claims to be."""


class StudyNotFound(TarslabError, FileNotFoundError):
    """No storage of studies there, or no study of this name; the message lists those there are."""


class BadStudy(TarslabError, ValueError):
    """A storage of studies is damaged, locked, or of a version that cannot be read."""


class NotebookFailed(TarslabError, RuntimeError):
    """A notebook stopped: the message carries the cell, its source and the error."""


class StackFailed(TarslabError, RuntimeError):
    """A stack does not come up (the message ends with the log), is up already, or is down."""


class PlatformFailed(TarslabError, RuntimeError):
    """What services run on is lost, or could not do what was asked of it."""


class LogWarning(UserWarning):
    """Part of a log could not be used; the rest was read."""
