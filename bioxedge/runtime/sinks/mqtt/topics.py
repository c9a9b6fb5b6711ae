"""The tree of topics of one device, and what may not stand in it.

``PREFIX/CLIENT-ID/`` and behind it ``status``, ``run``, ``state`` (retained), ``prediction`` and
``event`` (each one sent).
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from bioxedge.errors import SinkError

_LONGEST_ID = 128
_LONGEST_PREFIX = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True)
class Topics:
    """The topics of one device.

    Attributes
    ----------
    prefix, client_id : str
    """

    prefix: str
    client_id: str

    def __getitem__(self, name: str) -> str:
        """Give a topic by its last level."""
        return f"{self.prefix}/{self.client_id}/{name}"


def check_prefix(text: str, what: str = "prefix") -> str:
    """Give a prefix back, if a topic may begin with it.

    Raises
    ------
    SinkError
        It has a wildcard, a level without a name, a control character, a ``$`` in front, or is
        too long.
    """
    if found := re.search(r"[+#]", text):
        raise SinkError(
            f"{what} {text!r} has the wildcard {found[0]!r}: it is for subscribers, name a topic"
        )
    if _CONTROL.search(text):
        raise SinkError(f"{what} {text!r} has a control character: leave it out")
    if text.startswith("$"):
        raise SinkError(f"{what} {text!r} begins with $: such topics are the broker's own")
    if not text or any(not level for level in text.split("/")):
        raise SinkError(f"{what} {text!r} has a level without a name: write it like home/wearables")
    if len(text.encode()) > _LONGEST_PREFIX:
        raise SinkError(
            f"{what} of {len(text.encode())} bytes is too long, it may have {_LONGEST_PREFIX}"
        )
    return text


def check_client_id(text: str) -> str:
    """Give a client id back, if it can be one and a level of a topic at once.

    Raises
    ------
    SinkError
        It has a ``/``, a wildcard or a control character, or is empty or too long.
    """
    if found := re.search(r"[/+#]", text):
        raise SinkError(
            f"client id {text!r} has a {found[0]!r}, and is a level of the topics: leave it out"
        )
    if not text or _CONTROL.search(text) or text.startswith("$"):
        raise SinkError(f"client id {text!r} is empty, begins with $ or has a control character")
    if len(text.encode()) > _LONGEST_ID:
        raise SinkError(
            f"client id of {len(text.encode())} bytes is too long, it may have {_LONGEST_ID}"
        )
    return text


def default_client_id(bundle: str, run: str = "") -> str:
    """Make one that stays the same: this host's name, the bundle's, and the run's if it has one."""
    words = [socket.gethostname().partition(".")[0], bundle, run]
    text = "-".join(re.sub(r"[^A-Za-z0-9_.-]+", "-", word).strip("-.") for word in words if word)
    return text[:_LONGEST_ID].strip("-.") or "bioxedge"
