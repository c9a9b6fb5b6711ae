"""What could take this process down with it is tried in another one, with a time limit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

# The child looks for packages where this process does, and nowhere else.
_FIRST = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1))\n"


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes
    ----------
    answer : anything
        What the last line of its output says (JSON); None where it failed.
    said : str
        Why it failed, in one line; empty where it did not.
    signal : str
        The signal that ended it (``SIGILL``); empty where none did.
    """

    answer: Any = None
    said: str = ""
    signal: str = ""


def python(code: str, *arguments: str, patience: float) -> Outcome:
    """Run a few lines of Python that end by printing JSON.

    Parameters
    ----------
    code : str
    *arguments : str
        Behind ``sys.argv[0]``.
    patience : float
        Seconds until it is killed.
    """
    command = [sys.executable, "-c", _FIRST + code, json.dumps(sys.path), *arguments]
    # In the same process group, so that Ctrl-C ends it, too.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as child:
        try:
            out, err = child.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            child.kill()
            return Outcome(said=f"did not end within {patience:g} s")
        except BaseException:
            child.kill()
            raise
    if child.returncode < 0:
        name = _name(-child.returncode)
        return Outcome(said=f"died of {name}", signal=name)
    lines = (err if child.returncode else out).strip().splitlines()
    last = lines[-1].strip() if lines else f"exit code {child.returncode} without a word"
    if child.returncode:
        return Outcome(said=last)
    try:
        return Outcome(json.loads(last))
    except json.JSONDecodeError:
        return Outcome(said=f"answered {last[:80]!r}")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
