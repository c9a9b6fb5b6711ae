"""What one window takes through a graph: in a process of its own, so that nobody else's threads,
memory or luck is in the figure.

``bioxedge bench`` tells far more of a bundle on the device that it is for; this is one figure of
one graph, to put beside others of the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bioxedge.errors import BundleError

CODE = "from bioxedge.runtime.timed import main; main()"
WARMUP, MOST = 10, 300
"""Windows before those that are timed, and how many these are at most."""
SECONDS = 2.0
"""After so many no further window is timed."""


def milliseconds(graph: bytes, *, threads: int = 1) -> float:
    """Time an ONNX file on ONNX Runtime's processor provider.

    Parameters
    ----------
    graph : bytes
        Static shapes, float32.
    threads : int, optional
        Inside an operator.

    Returns
    -------
    float
        Median of the windows' milliseconds; the first ten do not count.

    Raises
    ------
    BundleError
        The graph does not run, or not on so many threads.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(graph)
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(path), str(threads)],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C is ours; it ends by itself within seconds
            check=False,
        )
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BundleError(
            f"a process that times a graph ended with code {done.returncode}: {said}"
        ) from None
    if "error" in found:
        raise BundleError(str(found["error"]))
    return float(found["ms"])


def main() -> None:
    """Time the graph that the first argument names, on as many threads as the second says."""
    import numpy as np

    from bioxedge.errors import BioxedgeError
    from bioxedge.runtime.host import return_at_once
    from bioxedge.runtime.session import Session

    return_at_once()  # as bioxedge run does
    path, threads = Path(sys.argv[1]), int(sys.argv[2])
    try:
        session = Session(path.read_bytes, threads=threads)
        rng = np.random.default_rng(0)
        session.given[...] = rng.standard_normal(session.given.shape, np.float32)
        for _ in range(WARMUP):
            session.again()
        took: list[int] = []
        until = time.monotonic() + SECONDS
        while len(took) < MOST and (not took or time.monotonic() < until):
            began = time.perf_counter_ns()
            session.again()
            took.append(time.perf_counter_ns() - began)
    except BioxedgeError as error:
        print(json.dumps({"error": " ".join(str(error).split())}))
        return
    print(json.dumps({"ms": round(float(np.median(took)) / 1e6, 5)}))
