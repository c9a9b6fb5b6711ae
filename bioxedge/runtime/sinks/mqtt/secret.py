"""What opens a broker's door: from a file or the environment, never from the command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from bioxedge.errors import SinkError

USERNAME, PASSWORD = "BIOXEDGE_MQTT_USERNAME", "BIOXEDGE_MQTT_PASSWORD"
CURE = (
    "write credentials=FILE (a line username=…, a line password=…, chmod 600), or set "
    f"{USERNAME} and {PASSWORD}"
)


class Credentials(NamedTuple):
    """A name and a password; None where there is none."""

    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Show nothing that a log may not hold."""
        return f"Credentials(username={self.username!r})"


NONE = Credentials()


def credentials(path: str | None) -> Credentials:
    """Read them from a file, or from the environment.

    The file has ``username=…`` and ``password=…``, or just the two on two lines.

    Raises
    ------
    SinkError
        The file cannot be read, others can read it, or it holds something else.
    """
    if path is None:
        username, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
        if password is not None and username is None:
            raise SinkError(f"{PASSWORD} is set and {USERNAME} is not: set both")
        return Credentials(username or None, password)
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(4096)
    except OSError as error:
        raise SinkError(f"credentials {path}: {error.strerror or error}; check the path") from error
    if mode & 0o007:
        raise SinkError(
            f"credentials {path} can be read by others (mode {stat.S_IMODE(mode):03o}): "
            f"chmod 600 {path}"
        )
    try:
        lines = [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        lines = []
    pairs = [line.partition("=") for line in lines]
    named = {key.strip(): value.strip() for key, between, value in pairs if between}
    if "username" in named and set(named) <= {"username", "password"} and len(named) == len(lines):
        return Credentials(named["username"], named.get("password"))
    if len(lines) != 2 or {"username", "password"} & set(named):
        raise SinkError(
            f"credentials {path} holds {len(lines)} lines that are not a name and a password: "
            "write username=… and password=…, each on a line"
        )
    return Credentials(lines[0], lines[1])
