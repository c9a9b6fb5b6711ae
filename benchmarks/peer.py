"""One way to run a bridged model, in a process of its own, timed when it is told to.

``benchmarks/peers.py`` starts it: ``python benchmarks/peer.py PEER DIRECTION FOLDER``. It loads,
answers the windows in the folder, says what that took as a line of JSON, and then for each line
``THREADS SECONDS`` that it reads, runs for so long and gives the seconds of every run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Run = Callable[[Floats], Floats]
WINDOWS = 4
SLOW = 1.0  # seconds of a run that needs none before it to warm caches

MODEL, INT8 = "model.onnx", "model.int8.onnx"


def named(name: str) -> Any:
    """Find a direction; it brings torch, which a runtime's memory must not hold."""
    from published import DIRECTIONS

    return {direction.name: direction for direction in DIRECTIONS}[name]


def bridged(direction: Any) -> Any:
    """Splice a direction, untrained, with a head whose answers differ."""
    import torch

    from bioxedge.bridging.head import Head
    from bioxedge.exporting.splice import BridgedModel

    source, target = direction.source.chain(), direction.target.chain()
    i, j = direction.source.cut, direction.target.cut
    head = Head(target.cut(len(target), direction.target.samples).features, 3)
    with torch.no_grad():
        head.linear.weight *= 10
    return BridgedModel(source[:i], direction.bridge(source, target), target[j:], head)


def made(direction: Any, folder: Path) -> dict[str, Any]:
    """Export what the peers are given, and say what there is to compute; see `peers.py`."""
    import torch
    from floor import products_of

    from bioxedge.exporting.cleanup import clean
    from bioxedge.exporting.onnx import to_onnx
    from bioxedge.exporting.variants import variant_of

    model = bridged(direction)
    windows = direction.source.windows(WINDOWS, 3)
    with torch.inference_mode():
        wanted = torch.cat([model(window[None]) for window in windows]).numpy()
    with torch.no_grad():  # inference mode would show no operation inside a layer
        products = products_of(lambda: model(windows[:1]))
    raw = clean(to_onnx(model, *windows.shape[1:]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(raw)
    (folder / INT8).write_bytes(variant_of(raw, "int8", windows.numpy()))
    np.save(folder / "windows.npy", windows.numpy())
    np.save(folder / "wanted.npy", wanted)
    return {
        "macs": products.macs,
        "products": [list(one) for one in products.largest()],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "shares": shares(raw, windows.numpy(), folder / "profile.json"),
    }


def shares(raw: bytes, windows: Floats, file: Path) -> dict[str, float]:
    """Say which operators ours spends its time in, on one thread: the five that take most."""
    from bioxedge.runtime.session import Session

    session = Session(raw, profile=file)
    for window in [*windows] * 2:
        session.run(window[None])
    session.close()
    spent: dict[str, float] = {}
    for event in json.loads(file.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"]
            spent[kind] = spent.get(kind, 0.0) + event["dur"]
    most = sorted(spent, key=lambda kind: -spent[kind])[:5]
    return {kind: spent[kind] / sum(spent.values()) for kind in most}


# -- torch --------------------------------------------------------------------------------------


class Reference:
    """The reference's path: both models in full, tapped and fed by hooks."""

    def __init__(self, direction: Any) -> None:
        self.source, self.target = direction.source.chain(), direction.target.chain()
        parts = bridged(direction)
        self.bridge, self.head = parts.bridge, parts.head
        self.other = direction.target.windows(1, 2)  # what the target is shown, and not used
        self.seen: dict[str, Any] = {}
        tap = self.source.blocks[direction.source.cut - 1]
        tap.register_forward_hook(lambda *call: self.seen.update(source=call[-1]))
        block = self.target.blocks[direction.target.cut]
        block.register_forward_pre_hook(lambda *_: (self.seen["tokens"],))

    def __call__(self, window: Any) -> Any:
        """``[1, channels, samples]`` to probabilities."""
        self.source(window)
        features = self.source.layout.leave(self.seen["source"]).mean(1)
        self.seen["tokens"] = self.target.layout.enter(self.bridge(features))
        return self.head(self.target(self.other)).softmax(1)

    def parameters(self) -> Any:
        """All that must lie in memory."""
        for part in (self.source, self.target, self.bridge, self.head):
            yield from part.parameters()


def in_torch(direction: str, folder: Path, kind: str) -> tuple[Callable[[int], Run], int]:
    """Run with torch; gives what makes a run for so many threads, and the weights' bytes."""
    import torch

    about = named(direction)
    model = Reference(about) if kind == "reference" else bridged(about)
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    run_model: Any = torch.compile(model) if kind == "compile" else model
    half = torch.autocast("cpu", torch.bfloat16, enabled=kind == "eager-bf16")

    def prepared(threads: int) -> Run:
        torch.set_num_threads(threads)

        def run(window: Floats) -> Floats:
            with torch.no_grad() if kind == "reference" else torch.inference_mode(), half:
                out: Floats = run_model(torch.from_numpy(window)).float().numpy()
            return out

        return run

    return prepared, size


# -- runtimes -----------------------------------------------------------------------------------


def in_session(direction: str, folder: Path, kind: str) -> tuple[Callable[[int], Run], int]:
    """Run what we ship, the way that we run it."""
    from bioxedge.runtime.session import Session

    file = folder / (INT8 if kind == "ours-int8" else MODEL)

    def prepared(threads: int) -> Run:
        return Session(file.read_bytes(), threads=threads).run

    return prepared, file.stat().st_size


def in_openvino(direction: str, folder: Path, kind: str) -> tuple[Callable[[int], Run], int]:
    """Run the same ONNX file with OpenVINO."""
    import openvino as ov

    core = ov.Core()
    hint = ov.Type.bf16 if kind == "openvino-bf16" else ov.Type.f32

    def prepared(threads: int) -> Run:
        model = core.compile_model(
            str(folder / MODEL),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": hint,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        request = model.create_infer_request()

        def run(window: Floats) -> Floats:
            out: Floats = request.infer({0: window}, share_inputs=True)[0]
            return out

        return run

    return prepared, (folder / MODEL).stat().st_size


def in_executorch(direction: str, folder: Path, kind: str) -> tuple[Callable[[int], Run], int]:
    """Run with ExecuTorch, what it can with XNNPACK; converting is not part of its memory."""
    file = kept(folder, ".pte")
    if not file.exists():
        converted(direction, file)
    import torch
    from executorch.extension.pybindings import portable_lib

    def prepared(threads: int) -> Run:
        portable_lib._unsafe_reset_threadpool(threads)
        module = portable_lib._load_for_executorch(str(file))

        def run(window: Floats) -> Floats:
            out: Floats = module.forward((torch.from_numpy(window),))[0].numpy()
            return out

        return run

    return prepared, file.stat().st_size


def in_litert(direction: str, folder: Path, kind: str) -> tuple[Callable[[int], Run], int]:
    """Run with LiteRT and its XNNPACK delegate; converting is not part of its memory."""
    file = kept(folder, ".tflite")
    if not file.exists():
        converted(direction, file)
    from ai_edge_litert.interpreter import Interpreter

    def prepared(threads: int) -> Run:
        interpreter = Interpreter(str(file), num_threads=threads)
        interpreter.allocate_tensors()
        taken = interpreter.get_input_details()[0]["index"]
        given = interpreter.get_output_details()[0]["index"]

        def run(window: Floats) -> Floats:
            interpreter.set_tensor(taken, window)
            interpreter.invoke()
            out: Floats = interpreter.get_tensor(given)
            return out

        return run

    return prepared, file.stat().st_size


def kept(folder: Path, suffix: str) -> Path:
    """Name a converted file by what it was converted from: it may be there from another run."""
    digest = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    return folder / f"model-{digest[:12]}{suffix}"


def converted(direction: str, file: Path) -> None:
    """Convert in a child, whose memory goes with it."""
    file.with_suffix(".failed").unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            CONVERT[file.suffix](named(direction), file.with_suffix(".partial"))
            file.with_suffix(".partial").replace(file)
            code = 0
        except BaseException as error:  # whatever a converter raises: the row says it
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            file.with_suffix(".failed").write_text(said, encoding="utf-8")
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        failed = file.with_suffix(".failed")
        said = failed.read_text(encoding="utf-8") if failed.exists() else "the converter died"
        raise RuntimeError(f"converting: {said}")


def to_executorch(direction: Any, file: Path) -> None:
    """Lower with XNNPACK where it takes an operator."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(bridged(direction), (direction.source.windows(1, 3),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    with file.open("wb") as out:
        lowered.to_executorch().write_to_file(out)


def to_litert(direction: Any, file: Path) -> None:
    """Convert with litert-torch."""
    import litert_torch

    model = litert_torch.convert(bridged(direction), (direction.source.windows(1, 3),))
    model.export(str(file))


CONVERT = {".pte": to_executorch, ".tflite": to_litert}


# -- the floor ----------------------------------------------------------------------------------


def as_floor(direction: str, folder: Path, kind: str) -> tuple[Callable[[int], Run], int]:
    """Multiply only, at the best rate of any library; gives seconds instead of an answer."""
    import torch
    from floor import Product, Rates

    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    products = [Product(*one) for one in facts["products"]]

    def prepared(threads: int) -> Run:
        torch.set_num_threads(threads)
        with contextlib.suppress(ImportError):  # numpy's threads; scikit-learn brings the package
            import threadpoolctl

            threadpoolctl.threadpool_limits(threads)
        rates = Rates(products, "bf16" if kind == "floor-bf16" else "fp32")
        return lambda _: np.array([facts["macs"] / rates.turn()], np.float32)

    return prepared, 0


PEERS: dict[str, Callable[[str, Path, str], tuple[Callable[[int], Run], int]]] = {
    "reference": in_torch,
    "eager": in_torch,
    "eager-bf16": in_torch,
    "compile": in_torch,
    "ours": in_session,
    "ours-int8": in_session,
    "openvino": in_openvino,
    "openvino-bf16": in_openvino,
    "executorch": in_executorch,
    "litert": in_litert,
    "floor": as_floor,
    "floor-bf16": as_floor,
}
"""How each peer is loaded."""


def resident(key: str) -> float:
    """Give resident memory in MiB: ``VmHWM`` at its peak, ``VmRSS`` now."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024


def serve(name: str, direction: str, folder: Path) -> None:
    """Load on one thread, answer, and then time whatever is asked for."""
    began = time.perf_counter()
    prepare, size = PEERS[name](direction, folder, name)
    runs = {1: prepare(1)}
    windows = np.load(folder / "windows.npy")
    first = runs[1](windows[:1])
    loaded = time.perf_counter() - began
    off = None
    if not name.startswith("floor"):
        answers = np.concatenate([first, *(runs[1](w[None]) for w in windows[1:])])
        off = float(np.abs(answers - np.load(folder / "wanted.npy")).max())
    say({"bytes": size, "off": off, "load_seconds": loaded, "peak_mib": resident("VmHWM"),
         "rss_mib": resident("VmRSS")})  # fmt: skip
    clock = time.process_time if "PEERS_PROCESSOR" in os.environ else time.perf_counter
    now, took = 1, dict[int, float]()
    for line in sys.stdin:
        threads, seconds = int(line.split()[0]), float(line.split()[1])
        if threads != now:  # one at a time: some share one pool of threads in a process
            runs = {threads: prepare(threads)}
            runs[threads](windows[:1])
            now = threads
        run, found = runs[threads], []
        if threads not in took or took[threads] < SLOW:
            run(windows[:1])  # takes up what another process left cold
        began = time.perf_counter()
        while not found or time.perf_counter() - began < seconds:
            start = clock()
            answer = run(windows[len(found) % WINDOWS][None])
            took[threads] = clock() - start
            found.append(float(answer[0]) if name.startswith("floor") else took[threads])
        say({"seconds": found})


def say(facts: dict[str, Any]) -> None:
    """Give a line of JSON where nothing else is written."""
    print(json.dumps(facts), file=_OUT, flush=True)


if __name__ == "__main__":
    # Runtimes print on standard output whatever they like: facts go by the real one, alone.
    _OUT = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    peer, direction, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    try:
        if peer == "make":
            say(made(named(direction), folder))
        else:
            serve(peer, direction, folder)
    except Exception as error:  # a row says what did not run, whatever a peer raises
        say({"error": f"{type(error).__name__}: {' '.join(str(error).split())}"})
