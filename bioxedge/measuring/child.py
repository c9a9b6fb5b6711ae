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
    from bioxedge.runtime.host import return_at_once

    return_at_once()  # as bioxedge run does
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
    # Each task imports what it needs alone: a cold start is what it is without the others.
    from bioxedge.measuring.tasks import Task

    assert isinstance(task, Task)
    if task.kind == "closed":
        from bioxedge.measuring.closed import closed

        return closed(task, began)
    if task.kind == "soak":
        from bioxedge.measuring.closed import soak

        return soak(task, lambda now: say({"now": now}))
    if task.kind == "open":
        from bioxedge.measuring.openloop import open_loop

        return open_loop(task)
    if task.kind == "parts":
        from bioxedge.measuring.parts import parts

        return parts(task)
    from bioxedge.measuring.proof import prove

    return prove(task)
