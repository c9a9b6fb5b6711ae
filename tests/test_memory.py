"""Memory does not grow with the data: more windows and features than memory are worked on."""

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
    from bioxedge.bridging.pretrain import pretrain
    from bioxedge.bridging.runner import Runner
    from bioxedge.bridging.train import Training, train_bridge

    torch.set_num_threads(1)
    out, windows_count, allowed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chain = models.create("papagei", base_filters=32, blocks=1).freeze()
    runner, generator = Runner(), torch.Generator().manual_seed(0)
    runner.features(chain, torch.zeros(64, 1, 2000))  # what every run needs, however little data
    # A few of many windows: the others take no room on the disk, but would in memory.
    rows = torch.arange(windows_count) * 23
    shape = (23 * windows_count, 1, 2000)
    windows = np.lib.format.open_memmap(out / "windows.npy", "w+", np.float32, shape)
    windows[rows.numpy()] = torch.randn(windows_count, 1, 2000, generator=generator).numpy()
    windows.flush()

    def private():
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024

    bound = private() + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    windows = np.load(out / "windows.npy", mmap_mode="r")
    fresh = models.create("papagei", base_filters=4, blocks=1)
    pretrained = pretrain(fresh, windows, rows=rows[:128], rate=250.0, epochs=1, seed=0)
    found = runner.features(chain, windows, rows=rows, tokens=[0], folder=out / "features")
    teacher = found.tokens[0]
    tokens, features = chain.cut(0, 2000)
    bridge = PrototypeBridge(32, features, tokens, 2, 4, b_std=1e-3, seed=0)
    training = Training(at="cut", over="tokens", epochs=1, batch=16)
    course = train_bridge(bridge, chain[0:], found.pooled[1], teacher, training, seed=0)

    def fits(path):
        try:
            return len(np.load(out / path)) > 0
        except MemoryError:
            return False

    said = {"windows": windows.nbytes, "teacher": teacher.numel() * 4, "losses": course.losses}
    said |= {"fits": [fits("windows.npy"), fits("features/tokens-00.npy")]}
    print(json.dumps(said | {"pretrained": pretrained}))
"""


def test_windows_and_features_larger_than_the_memory_are_worked_on(tmp_path: Path) -> None:
    allowed, windows = 120 * 2**20, 850
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
    assert min(found["windows"], found["teacher"]) > 1.1 * allowed
    assert found["fits"] == [False, False]  # read as a whole they end in a MemoryError
    assert len(found["losses"]) == 1 and found["losses"][0] < 1.1
    assert len(found["pretrained"]) == 1
