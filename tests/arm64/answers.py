"""What each variant of a bundle answers on this machine, into a file. Runs on both machines."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import scipy

from bioxedge.bundle import Bundle
from bioxedge.errors import BioxedgeError
from bioxedge.runtime.engine import Engine

DRAWN = 200  # windows besides the golden ones


def main(folder: Path, out: Path) -> None:
    """Write an array [windows, labels] for each variant, and who computed them."""
    bundle = Bundle.open(folder)
    golden = bundle.golden.windows
    # As golden windows, their noise of every size: an answer near a tie is among them.
    rng = np.random.default_rng(0)
    drawn = golden[rng.integers(len(golden), size=DRAWN)]
    noise = rng.standard_normal(drawn.shape) * rng.uniform(0.0, 2.0, (DRAWN, 1, 1))
    windows = np.concatenate([golden, drawn + noise * golden.std()]).astype(np.float32)
    answers, refused = {}, {}
    for name in bundle.manifest.model:
        try:
            engine = Engine(bundle, name)
        except BioxedgeError as error:
            refused[name] = str(error)
            continue
        answers[name] = np.stack([engine.run(window) for window in windows])
    about = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "glibc": platform.libc_ver()[1],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "onnxruntime": onnxruntime.__version__,
        "refused": refused,
    }
    np.savez(out, about=json.dumps(about), **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
