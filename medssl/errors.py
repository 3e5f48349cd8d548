"""The two errors that a user meets: wrong usage (exit code 2) and a failed run (exit code 1)."""

__all__ = ["DataError", "MedsslError", "RunError", "UsageError"]


class MedsslError(Exception):
    """Base of every error that medssl raises on purpose; its text says what to do next."""

    exit_code = 1


class UsageError(MedsslError, ValueError):
    """The request itself is wrong: an unknown name, a bad value, a malformed parameter."""

    exit_code = 2


class DataError(MedsslError):
    """A file is missing, damaged or not what its card says."""

    exit_code = 2


class RunError(MedsslError, RuntimeError):
    """A valid request could not be carried out: no space, no convergence, a killed process."""

    exit_code = 1
