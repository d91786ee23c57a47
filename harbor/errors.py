"""Every error an operator can meet, each with its exit code.

    OpsError            1  unexpected
    ├── SettingsError   3  hosts.yaml or .env is wrong; no connection was opened
    ├── ConnectError    4  no connection, unknown host key, sudo refused
    ├── Locked          5  another run holds the host
    ├── RemoteError     6  a command on the host failed
    ├── NotConverged    7  applied, and yet something is left to do
    ├── Unhealthy       8  Harbor or one of its containers is not healthy
    └── Refused         9  refused for safety

Exit code 2 is no error: `fab plan` found changes. With nothing to change it ends with 8 where
Harbor is not healthy.
"""

CHANGES_PENDING = 2


class OpsError(Exception):
    """`message` says what is wrong and where, `hint` what to do about it."""

    code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n\nhint: {self.hint}" if self.hint else self.message


class SettingsError(OpsError):
    code = 3


class ConnectError(OpsError):
    code = 4


class Locked(OpsError):
    code = 5


class RemoteError(OpsError):
    code = 6


class NotConverged(OpsError):
    code = 7


class Unhealthy(OpsError):
    code = 8


class Refused(OpsError):
    code = 9
