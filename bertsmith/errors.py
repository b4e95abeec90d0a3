"""Mistakes and stops that end a command with one line and a known exit code."""


class BertsmithError(Exception):
    """The command failed (exit code 1). The message is one line that names the file, line or key."""

    exit_code = 1


class UsageError(BertsmithError):
    """The command line, a recipe or an input is wrong (exit code 2); nothing was changed."""

    exit_code = 2


class Diverged(BertsmithError):
    """A loss or a score is not a finite number: the same line again would find the same."""


class InUse(BertsmithError):
    """Another process writes what was to be written; it may be asked again later."""


class Stopped(BertsmithError):
    """A signal asked the command to stop and its work so far is saved (exit code 75, as in sysexits' EX_TEMPFAIL)."""

    exit_code = 75


class Interrupted(BertsmithError):
    """The user pressed Ctrl-C and the work so far is saved (exit code 130)."""

    exit_code = 130
