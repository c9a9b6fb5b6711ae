"""A session: one model, one way to run it, and what ran is what is said."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import (
    _field,
    _node,
    _tensor,
    _value,
    make_bundle,
    onnx_model,
    weights_of,
    with_bf16,
)

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, SignalError
from bioxedge.runtime import Engine
from bioxedge.runtime.session import Session, available, cores

WEIGHTS, BIAS = weights_of(3, 2 * 50, 0)
MODEL = onnx_model(WEIGHTS, BIAS, 2, 50)
needs_openvino = pytest.mark.skipif(
    not importlib.util.find_spec("openvino"), reason="needs the [openvino] extra"
)


def answer(x: np.ndarray) -> np.ndarray:
    """What the model answers, in float64."""
    odds = np.exp(x.reshape(1, -1).astype(np.float64) @ WEIGHTS + BIAS)
    return odds / odds.sum()


def windows(count: int) -> np.ndarray:
    """Noise [count, 1, 2, 50]."""
    return np.random.default_rng(1).standard_normal((count, 1, 2, 50)).astype(np.float32)


def model_of(nodes: bytes, inputs: list[bytes], outputs: list[bytes]) -> bytes:
    """An ONNX file of nodes, inputs and outputs."""
    graph = nodes + _field(2, "g")
    graph += b"".join(_field(11, one) for one in inputs)
    graph += b"".join(_field(12, one) for one in outputs)
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 18))


def in_process(code: str, *arguments: object) -> str:
    """Run Python code in a process of its own; give what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    # On an emulated processor ONNX Runtime says at import that it does not know it.
    said = [line for line in done.stderr.splitlines() if "cpuid_info" not in line]
    assert done.returncode == 0 and not said, done.stderr
    return done.stdout


@pytest.mark.parametrize("provider", available())
def test_it_answers_as_the_model_is_written(provider: str) -> None:
    given = windows(4)
    before = given.copy()
    try:
        session = Session(MODEL, provider=provider)
    except BundleError as error:
        assert provider != "cpu" and f"{provider} was asked for and" in str(error)
        return
    found = [session.run(window) for window in given]
    np.testing.assert_array_equal(given, before)
    near = 2e-2 if provider == "openvino-bf16" else 1e-6
    for one, window in zip(found, given, strict=True):  # the last has not overwritten the first
        np.testing.assert_allclose(one, answer(window), atol=near)
    assert (session.provider, session.threads) == (provider, 1)
    assert session.inputs == [("x", (1, 2, 50))] and session.outputs == [("y", (1, 3))]
    with pytest.raises(SignalError, match=r"takes \[1, 2, 50\], got \[2, 50\]"):
        session.run(given[0, 0])
    session.close()


def test_any_layout_of_a_window_is_taken() -> None:
    session = Session(lambda: MODEL)
    window = windows(1)[0]
    turned = np.asfortranarray(window)
    np.testing.assert_array_equal(session.run(turned), session.run(window))
    np.testing.assert_array_equal(
        session.run(np.repeat(window, 2, axis=2)[:, :, ::2]), session.run(window)
    )


@pytest.mark.parametrize("threads", [0, -1, None, "2", cores() + 1, 10**6])
def test_threads_are_a_number_that_can_be_had(threads: object) -> None:
    with pytest.raises(BundleError, match=f"may use {cores()} cores: ask for 1 to {cores()}$"):
        Session(MODEL, threads=threads)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_cores_that_were_taken_away_are_not_counted_and_not_bound_to(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from bioxedge.errors import BundleError
from bioxedge.runtime.session import Session
model = Path(sys.argv[1]).read_bytes
print(Session(model).threads)
try:
    Session(model, threads=2)
except BundleError as error:
    print(error)
"""
    (tmp_path / "m.onnx").write_bytes(MODEL)
    said = in_process(code, tmp_path / "m.onnx").splitlines()
    assert said[0] == "1" and "2 threads were asked for, this process may use 1 cores" in said[1]


def test_shapes_that_are_not_fixed_are_refused() -> None:
    size = _field(1, _field(2, "n"))  # a dimension with a name instead of a number
    free = _field(1, "x") + _field(2, _field(1, _field(1, 1) + _field(2, size)))
    model = model_of(_field(1, _node("Identity", ["x"], "y")), [free], [_value("y", (1,))])
    with pytest.raises(BundleError, match=r"input x has the shape \['n'\].*static shapes"):
        Session(model, name="free.onnx")


def test_other_numbers_of_inputs_and_other_types_are_refused() -> None:
    three = [_value(name, (1, 3)) for name in ("x", "z", "w")]
    added = _field(1, _node("Sum", ["x", "z", "w"], "y"))
    with pytest.raises(BundleError, match=r"three.onnx has 3 inputs: only one or two"):
        Session(model_of(added, three, [_value("y", (1, 3))]), name="three.onnx")
    made = {"Relu": "y", "Abs": "v", "Neg": "u"}
    outputs = b"".join(_field(1, _node(kind, ["x"], name)) for kind, name in made.items())
    with pytest.raises(BundleError, match="has 3 outputs"):
        Session(model_of(outputs, three[:1], [_value(name, (1, 3)) for name in made.values()]))
    shape = _field(2, _field(1, _field(1, 7) + _field(2, _field(1, _field(1, 2)))))
    counted = _field(1, _node("Shape", ["x"], "y"))
    with pytest.raises(BundleError, match=r"tensor\(int64\).*in float32"):
        Session(model_of(counted, three[:1], [_field(1, "y") + shape]))


@pytest.mark.parametrize("raw", [b"", b"no model", MODEL[:-40], MODEL.replace(b"Gemm", b"Gone")])
def test_what_is_no_model_is_one_line(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"ONNX Runtime [\d.]+ refuses bad.onnx: ") as caught:
        Session(raw, name="bad.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("provider", "cure"),
    [
        ("cuda", "onnxruntime-gpu"),
        ("tensorrt", "and TensorRT"),
        ("xnnpack", "with XNNPACK"),
        ("openvino", r"bioxedge\[openvino\]"),
        ("openvino-bf16", r"bioxedge\[openvino\]"),
        ("CPUExecutionProvider", ""),
    ],
)
def test_a_provider_that_is_not_here_is_an_error_with_its_cure(provider: str, cure: str) -> None:
    if provider in available():
        pytest.skip(f"{provider} is here")
    with pytest.raises(BundleError, match=f"{provider} is not on this machine: it has cpu.*{cure}"):
        Session(MODEL, provider=provider)


@pytest.mark.skipif(
    Path("/dev/nvidiactl").exists() or Path("/dev/nvhost-gpu").exists(), reason="a GPU is here"
)
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_cannot_be_loaded_is_not_replaced_in_silence(
    provider: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if provider not in available():
        pytest.skip("needs NVIDIA's build of ONNX Runtime, with or without a GPU")
    with pytest.raises(BundleError, match=f"{provider} was asked for and .*, or use ") as caught:
        Session(MODEL, provider=provider, cache=tmp_path)
    assert "\n" not in str(caught.value)
    out, err = capfd.readouterr()
    assert out == "" and all("TensorRT builds" in line for line in err.splitlines())


def test_a_profile_tells_each_node_and_who_ran_it(tmp_path: Path) -> None:
    session = Session(MODEL, profile=tmp_path / "trace.json")
    session.run(windows(1)[0])
    session.close()
    nodes = [e for e in json.loads((tmp_path / "trace.json").read_text()) if e["cat"] == "Node"]
    ran = {(node["args"]["op_name"], node["args"]["provider"]) for node in nodes}
    assert ran >= {("Gemm", "CPUExecutionProvider"), ("Softmax", "CPUExecutionProvider")}
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]


def test_a_bundle_that_gave_its_model_reads_and_checks_it_again(tmp_path: Path) -> None:
    opened = make_bundle(tmp_path / "b")
    window, file = opened.golden.windows[0], tmp_path / "b/model.onnx"
    first = Engine(opened)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    np.testing.assert_allclose(first.run(window), opened.golden.probabilities[0], atol=1e-5)
    with pytest.raises(BundleError, match="does not match its sha256"):
        Engine(opened)
    file.write_bytes(whole)
    np.testing.assert_array_equal(Engine(opened).run(window), first.run(window))


def test_what_was_checked_is_what_runs(tmp_path: Path) -> None:
    opened = make_bundle(tmp_path / "b")
    (tmp_path / "b/model.onnx").write_bytes(b"another")
    found = Engine(opened).run(opened.golden.windows[0])
    np.testing.assert_allclose(found, opened.golden.probabilities[0], atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_weights_are_in_memory_once(tmp_path: Path) -> None:
    """64 MB of weights: the file's bytes, the parser's copy and the unpacked ones are gone."""
    wide, narrow = 4096, 4096
    weights = np.ones((wide, narrow), np.float32)
    graph = (
        _field(1, _node("Gemm", ["x", "w"], "y"))
        + _field(2, "g")
        + _field(5, _tensor("w", weights))
        + _field(11, _value("x", (2, wide)))
        + _field(12, _value("y", (2, narrow)))
    )
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 18))
    (tmp_path / "m.onnx").write_bytes(model)
    code = """
import sys
from pathlib import Path
import numpy as np
from bioxedge.runtime.session import Session

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

before = resident()
session = Session(Path(sys.argv[1]).read_bytes)
for _ in range(3):
    session.run(np.ones((2, 4096), np.float32))
print(resident() - before)
"""
    assert float(in_process(code, tmp_path / "m.onnx")) < 1.5 * len(model) / 2**20


@needs_openvino
def test_openvino_does_not_load_what_phones_home(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(MODEL)
    code = """
import sys
from pathlib import Path
from bioxedge.runtime.session import Session
session = Session(Path(sys.argv[1]).read_bytes, provider="openvino")
print(session.provider, session.runtime, "openvino_telemetry" in sys.modules)
"""
    provider, name, version, loaded = in_process(code, tmp_path / "m.onnx").split()
    assert (provider, name, loaded) == ("openvino", "OpenVINO", "False") and version[0].isdigit()


@needs_openvino
def test_openvino_refuses_as_onnx_runtime_does() -> None:
    size = _field(1, _field(2, "n"))
    free = _field(1, "x") + _field(2, _field(1, _field(1, 1) + _field(2, size)))
    model = model_of(_field(1, _node("Identity", ["x"], "y")), [free], [_value("y", (1,))])
    with pytest.raises(BundleError, match=r"input x has the shape .*static shapes"):
        Session(model, provider="openvino")
    with pytest.raises(BundleError, match=r"OpenVINO [\d.]+ refuses bad.onnx: "):
        Session(b"no model", provider="openvino", name="bad.onnx")
    with pytest.raises(BundleError, match="profiled by ONNX Runtime alone"):
        Session(MODEL, provider="openvino", profile=Path("trace.json"))


def test_an_engine_takes_the_first_provider_that_runs(tmp_path: Path) -> None:
    opened = Bundle.open(make_bundle(tmp_path / "b").path)
    engine = Engine(opened, providers=["nothing", "cpu"])
    assert engine.settings["provider"] == "cpu" and "ONNX Runtime" in engine.runtime
    with pytest.raises(BundleError, match="provider nothing is not on this machine"):
        Engine(opened, providers=["nothing", "nowhere"])


def test_a_variant_runs_only_in_the_arithmetic_that_it_was_proven_in(tmp_path: Path) -> None:
    plain = make_bundle(tmp_path / "a")
    both = with_bf16(plain, tmp_path / "b")
    with pytest.raises(BundleError, match=r"bf16 and cpu does not: use openvino-bf16 \(pip"):
        Engine(both, "bf16", providers=["cpu"])
    with pytest.raises(BundleError, match=r"variant fp32 does not: use variant bf16$"):
        Engine(both, "fp32", providers=["openvino-bf16"])
    with pytest.raises(BundleError, match=r'use openvino, or build the bundle with "bf16" in make'):
        Engine(plain, providers=["openvino-bf16"])
    assert Engine(both, "fp32", providers=["openvino-bf16", "cpu"]).provider == "cpu"


def test_a_variant_in_bf16_finds_its_provider_or_says_what_is_missing(tmp_path: Path) -> None:
    both = with_bf16(make_bundle(tmp_path / "a"), tmp_path / "b")
    if "openvino-bf16" not in available():
        with pytest.raises(BundleError, match=r"bioxedge\[openvino\]"):
            Engine(both, "bf16")
        return
    try:
        engine = Engine(both, "bf16")
    except BundleError as error:
        assert "with variant fp32" in str(error)
        return
    assert (engine.variant, engine.provider) == ("bf16", "openvino-bf16")
    found = np.stack([engine.run(window) for window in both.golden.windows])
    off = np.abs(found - both.golden.probabilities).max()
    assert 1e-5 < off < 0.05  # it is another arithmetic, and the same model
