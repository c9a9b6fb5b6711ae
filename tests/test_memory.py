"""Memory does not grow with the data: more features than memory are computed and trained on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("resource", reason="only Unix can bound a process's memory")

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds all private memory"),
]

PROGRAM = """
    import json, resource, sys
    from pathlib import Path

    import numpy as np
    import torch

    from bioxedge import models
    from bioxedge.bridging import PrototypeBridge
    from bioxedge.bridging.features import extract
    from bioxedge.bridging.train import Training, train_bridge

    torch.set_num_threads(1)
    out, windows_count, allowed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chain = models.create("papagei", base_filters=32, blocks=1).freeze()
    windows = torch.randn(windows_count, 1, 2000, generator=torch.Generator().manual_seed(0))
    extract(chain, windows[:64])  # what every run needs, however little data it has

    def private():
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024

    bound = private() + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    found = extract(chain, windows, tokens=[0], folder=out)
    teacher = found.tokens[0]
    tokens, features = chain.cut(0, 2000)
    bridge = PrototypeBridge(32, features, tokens, 2, 4, b_std=1e-3, seed=0)
    training = Training(at="cut", over="tokens", epochs=1, batch=16)
    course = train_bridge(bridge, chain[0:], found.pooled[1], teacher, training, seed=0)
    try:
        np.load(out / "tokens-00.npy")
        whole = "fits"
    except MemoryError:
        whole = "does not fit"
    print(json.dumps({"bytes": teacher.numel() * 4, "losses": course.losses, "whole": whole}))
"""


def test_a_cache_larger_than_the_memory_is_filled_and_trained_from(tmp_path: Path) -> None:
    allowed, windows = 200 * 2**20, 1300
    done = subprocess.run(
        [
            sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path), str(windows),
            str(allowed),
        ],
        capture_output=True, text=True, timeout=240,
        # what is freed goes back at once: the bound is to see what is held, not what malloc keeps
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["bytes"] > 1.5 * allowed
    assert found["whole"] == "does not fit"  # read as a whole it ends in a MemoryError
    assert len(found["losses"]) == 1 and found["losses"][0] < 1.1
