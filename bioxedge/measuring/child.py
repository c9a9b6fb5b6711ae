"""The measured process: does one task, and prints what came of it as one line of JSON."""

from __future__ import annotations

import sys


def main(began: int) -> None:
    """Do what the first argument asks for.

    Parameters
    ----------
    began : int
        Monotonic nanoseconds at this process's first line.
    """
    import msgspec

    from bioxedge.errors import BioxedgeError
    from bioxedge.measuring.tasks import Task

    task = msgspec.json.decode(sys.argv[1], type=Task)
    try:
        answer = _do(task, began)
    except BioxedgeError as error:
        say({"error": " ".join(str(error).split())})
        sys.exit(2)
    say({"answer": msgspec.to_builtins(answer)})


def say(value: object) -> None:
    """Print one line at once."""
    import json

    print(json.dumps(value), flush=True)


def _do(task: object, began: int) -> object:
    from bioxedge.measuring import closed, openloop, parts, proof
    from bioxedge.measuring.tasks import Task

    assert isinstance(task, Task)
    if task.kind == "closed":
        return closed.closed(task, began)
    if task.kind == "soak":
        return closed.soak(task, lambda now: say({"now": now}))
    if task.kind == "open":
        return openloop.open_loop(task)
    if task.kind == "parts":
        return parts.parts(task)
    return proof.prove(task)
