"""The one error tree.

WattSwapError
├── CommandError        a command was refused; carries the stable `code` of the ack (nothing was changed)
├── ConfigError         a flag, environment variable or configuration file is wrong (exit code 2)
├── StorageError        a data file cannot be read or written (exit code 1, or `code: storage` in an ack)
└── BrokerError         the broker cannot be started or reached (exit code 1)
"""


class WattSwapError(Exception):
    """Anything this package raises on purpose; its text is for people."""


class CommandError(WattSwapError):
    """A refused command.

    `code` is stable and snake_case, `message` says what would be right.  `order_id` names the order that was kept
    with status `failed`, where there is one.
    """

    def __init__(self, code: str, message: str, *, order_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.order_id = order_id


class ConfigError(WattSwapError):
    """A setting that cannot be used."""


class StorageError(WattSwapError):
    """A data directory or file that cannot be used."""


class BrokerError(WattSwapError):
    """A broker that cannot be started, or that refuses the connection."""
