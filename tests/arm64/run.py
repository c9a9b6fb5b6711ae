"""Hold an emulated 64-bit Arm to what this machine answers, with the oldest and newest runtime.

Builds BrainFlow for it, installs it there, and runs there: device tests, ``bioxedge verify``, a
playback through the real BrainFlow, a Muse 2 as far as Bluetooth goes. ``make test-arm64``.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from root import DEBIAN, MIRROR, PACKAGES, RUNTIMES, SUITE, Root, tools

PROJECT = Path(__file__).resolve().parent.parent.parent
PARITY = 1e-5  # of a probability of fp32 between the two machines
# What runs the model, reads files or counts samples: what a device does. With the newest runtime.
TESTS = (
    "laws", "manifest_clauses", "decide", "dsp", "windows", "bundle_damage",
    "runtime_verify", "runtime_stream", "runtime_clock", "runtime_playback", "run_loop", "quality",
)  # fmt: skip
# What meets the runtime itself: with every one of them.
RUNTIME_TESTS = ("runtime_verify", "runtime_playback")
SPEED, SECONDS = 10, 240
ASKED = """
from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams
BoardShim.enable_dev_board_logger()
BoardShim(BoardIds.MUSE_2_BOARD.value, BrainFlowInputParams()).prepare_session()
"""  # BrainFlow's own log says why


def main() -> int:
    """Prepare, run, sum up."""
    given = options()
    tools()
    shared = given.shared if given.shared.is_dir() else None
    root = Root(given.folder, shared)
    report: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "here": {"machine": platform.machine(), "python": platform.python_version()},
        "steps": [],
    }

    def step(name: str, make: Callable[[], Any]) -> Any:
        """Time a part and keep what it says; a part that fails does not stop the others."""
        began = time.monotonic()
        try:
            found, passed = make(), True
        except (AssertionError, subprocess.SubprocessError, OSError) as error:
            found, passed = str(error), False
        seconds = round(time.monotonic() - began, 1)
        report["steps"].append({"step": name, "pass": passed, "seconds": seconds, "found": found})
        (given.folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        print(f"{'pass' if passed else 'FAIL'}  {seconds:7.1f} s  {name}: {found}", flush=True)
        return found if passed else None

    wheel = step("BrainFlow's wheel", lambda: brainflow(given))
    demo = step("demo bundle", lambda: bundle(given))
    ours = step("our wheel", lambda: bioxedge(given, root))
    mirrored = step("Debian arm64", lambda: debian(root))
    here = step("answers on this machine", lambda: answers_here(root, demo)) if demo else None
    for name in RUNTIMES if wheel and ours and mirrored else ():
        step(f"{name}: packages", lambda name=name: packages(root, name, wheel, ours))
        if here:
            step(f"{name}: parity", lambda name=name: parity(root, name))
            step(f"{name}: verify", lambda name=name: verify(root, name))
            step(f"{name}: playback", lambda name=name: playback(root, name, demo))
            step(f"{name}: Muse 2", lambda name=name: muse(root, name))
    for name in RUNTIMES if wheel and ours and mirrored else ():  # last: they take longest
        files = TESTS if name == "newest" else RUNTIME_TESTS
        step(f"{name}: tests", lambda name=name, files=files: tests(root, name, files))
    report["pass"] = len(report["steps"]) > 5 and all(one["pass"] for one in report["steps"])
    out = given.folder / "report.json"
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{'PASS' if report['pass'] else 'FAIL'}: {out}")
    return 0 if report["pass"] else 1


def options() -> argparse.Namespace:
    """Read the command line."""
    shared = Path(os.environ.get("BIOXEDGE_SHARED", PROJECT.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--folder", type=Path, default=PROJECT / ".arm64", help="where everything is kept")
    add("--shared", type=Path, default=shared, help="real recordings, and BrainFlow's source")
    add(
        "--source", type=Path, help="BrainFlow's source archive (the shared folder's, else fetched)"
    )
    add("--wheel", type=Path, help="a wheel of BrainFlow that was built before")
    add("--demo", type=Path, help="what `make demo` made (demo/, else it is made)")
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    given.folder.mkdir(parents=True, exist_ok=True)
    return given


def call(command: list[Any], **more: Any) -> str:
    """Run a command of this machine; what it says last is its error."""
    ran = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **more
    )
    assert not ran.returncode, f"{Path(command[0]).name} failed: {last(ran.stderr or ran.stdout)}"
    return ran.stdout


def last(text: str) -> str:
    """Give the last line that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "nothing said")


def brainflow(given: argparse.Namespace) -> str:
    """Build BrainFlow's wheel, unless it was built before."""
    if given.wheel:
        assert given.wheel.is_file(), f"{given.wheel} is no file"
        return str(given.wheel.resolve())
    source = given.source or given.shared / "data/brainflow/brainflow-src.tar.xz"
    command = [sys.executable, PROJECT / "device/brainflow/build.py", "--cross"]
    command += ["--work", given.folder / "brainflow", "--out", given.folder / "wheels"]
    command += ["--source", source] if source.is_file() else []
    said = call(command)
    found = re.search(r"wheel +(\S+\.whl)", said)
    assert found, f"no wheel in what the build says: {last(said)}"
    return found[1]


def bundle(given: argparse.Namespace) -> str:
    """Find a demo's bundle and recording, or make them."""
    made = given.demo or next(
        (p for p in (PROJECT / "demo", given.folder / "demo") if (p / "recordings").is_dir()), None
    )
    if made is None:
        made = given.folder / "demo"
        script = PROJECT / "export/demo.py"
        call([sys.executable, script, "--out", made, "--device", sys.executable])
    for part in ("bundle", "recordings"):
        target = given.folder / "results" / part
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made / part, target)
    return str(made)


def bioxedge(given: argparse.Namespace, root: Root) -> str:
    """Pack the checkout as a wheel, and copy its files: others may be at work in it."""
    listed = call(["git", "-C", PROJECT, "ls-files", "-co", "--exclude-standard"]).splitlines()
    shutil.rmtree(root.project)
    for name in listed:
        if (PROJECT / name).is_file():
            (root.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, root.project / name)
    out = given.folder / "wheels"
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    call([*pip, "--wheel-dir", out, root.project])
    return str(max(out.glob("bioxedge-*.whl"), key=lambda path: path.stat().st_mtime))


def debian(root: Root) -> str:
    """Make the emulated machine once."""
    root.once("debian", [SUITE, MIRROR, *DEBIAN, inspect.getsource(root.debian)], root.debian)
    return f"Debian {SUITE}, python3.11"


def packages(root: Root, name: str, *wheels: str) -> str:
    """Make an environment once; install the two wheels anew, with the board's own pip."""
    key = [RUNTIMES[name], *PACKAGES, inspect.getsource(root.environment)]
    root.once(name, key, lambda: root.environment(name, RUNTIMES[name]))
    root.install(name, *(Path(wheel) for wheel in wheels))
    return ", ".join(Path(wheel).name for wheel in wheels)


def answers_here(root: Root, demo: str) -> str:
    """Write what this machine answers."""
    out = root.results / "here.npz"
    call([sys.executable, PROJECT / "tests/arm64/answers.py", root.results / "bundle", out])
    with np.load(out) as file:
        about = json.loads(str(file["about"]))
    return f"{about['machine']}, ONNX Runtime {about['onnxruntime']}, of {demo}"


def parity(root: Root, name: str) -> dict[str, Any]:
    """Compare the two machines' answers, variant by variant; fp32 is held to a bound."""
    script = "/work/project/tests/arm64/answers.py"
    out = f"/work/results/{name}.npz"
    ran = root.run(name, script, "/work/results/bundle", out, timeout=1200)
    assert not ran.returncode, f"answers.py: {last(ran.stderr)}"
    found: dict[str, Any] = {}
    with np.load(root.results / "here.npz") as a, np.load(root.results / f"{name}.npz") as b:
        found["board"] = json.loads(str(b["about"]))
        for variant in sorted(set(a.files) & set(b.files) - {"about"}):
            here, there = a[variant], b[variant]
            found[variant] = {
                "windows": len(here),
                "largest difference": float(np.abs(here - there).max()),
                "same label": float((here.argmax(1) == there.argmax(1)).mean()),
            }
    assert found["board"]["machine"] == "aarch64", found["board"]
    largest = found["fp32"]["largest difference"]
    assert largest <= PARITY, f"fp32 differs by {largest:.1e}, bound {PARITY:.0e}"
    return found


def cli(root: Root, name: str, *arguments: str, timeout: float) -> Any:
    """Run ``bioxedge`` on the board."""
    return root.run(name, "-m", "bioxedge", *arguments, timeout=timeout)


def verify(root: Root, name: str) -> dict[str, Any]:
    """Prove the bundle on the board."""
    ran = cli(root, name, "verify", "/work/results/bundle", "--json", timeout=600)
    assert not ran.returncode, last(ran.stderr)
    found: dict[str, Any] = json.loads(ran.stdout)
    return {key: found[key] for key in ("windows", "difference", "dsp_difference", "agreement")}


def playback(root: Root, name: str, demo: str) -> dict[str, Any]:
    """Play a recording through the board's BrainFlow; compare labels with this machine's."""
    worn = next(path.name for path in (root.results / "recordings").iterdir())
    told = ["--board", "muse_2", "--preset", "ancillary", "--seconds", str(SECONDS), "--json"]
    told += ["--speed", str(SPEED)]
    source = f"playback:{root.results}/recordings/{worn}"
    bundled = str(root.results / "bundle")
    here = call([sys.executable, "-m", "bioxedge", "run", bundled, "--source", source, *told])
    source = f"playback:/work/results/recordings/{worn}"
    ran = cli(root, name, "run", "/work/results/bundle", "--source", source, *told, timeout=600)
    assert not ran.returncode, last(ran.stderr)
    a, b = answered(here), answered(ran.stdout)
    both = sorted(set(a) & set(b))
    assert len(both) > 10, f"{len(a)} windows here, {len(b)} on the board, {len(both)} in common"
    differs = [t for t in both if a[t][0] != b[t][0]]
    assert not differs, f"labels differ at {differs[:5]} s"
    largest = max(abs(p - b[t][1][k]) for t in both for k, p in a[t][1].items())
    assert largest <= PARITY, f"probabilities differ by {largest:.1e}, bound {PARITY:.0e}"
    labelled = sum(b[t][0] is not None for t in both)
    summary = json.loads(ran.stdout.splitlines()[-1])["summary"]
    return {
        "windows": len(b),
        "in common": len(both),
        "with a label": labelled,
        "largest difference": largest,
        "left out": summary["left_out"],
        "loss": summary["loss"],
    }


def answered(lines: str) -> dict[float, tuple[str | None, dict[str, float]]]:
    """Give label and probabilities of a run's windows by their start."""
    read = [json.loads(line) for line in lines.splitlines()]
    found = (one for one in read if one["kind"] == "prediction")
    return {one["t_start"]: (one["label"], one["probabilities"]) for one in found}


def muse(root: Root, name: str) -> list[str]:
    """Ask for a Muse 2: Bluetooth's library must load, and find no adapter."""
    ran = cli(
        root, name, "run", "/work/results/bundle", "--source", "brainflow:muse_2", timeout=300
    )
    ours = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert ran.returncode == 2 and len(ours) == 1, f"exit {ran.returncode}: {last(ran.stderr)}"
    said = root.run(name, "-c", ASKED, timeout=300)
    adapter = [line for line in (said.stdout + said.stderr).splitlines() if "adapter" in line]
    assert adapter, f"BrainFlow says nothing of an adapter: {said.stderr.splitlines()[:3]}"
    return [ours[0], re.sub(r"^.*\] ", "", adapter[0])]


def tests(root: Root, name: str, files: tuple[str, ...]) -> dict[str, Any]:
    """Run tests of the checkout on the board; what was skipped is told with its reason."""
    paths = [f"tests/test_{file}.py" for file in files]
    quiet = ["-q", "-ra", "-p", "no:cacheprovider", "--tb=short"]
    # No deadline for an example, more time for a test: an emulator has no speed.
    slow = ["--hypothesis-profile=ci", "--timeout=1800"]
    ran = root.run(name, "-m", "pytest", *quiet, *slow, *paths, timeout=5400)
    (root.results / f"tests-{name}.log").write_text(ran.stdout + ran.stderr)
    lines = [line for line in ran.stdout.splitlines() if re.match("FAILED|ERROR|SKIPPED", line)]
    found = {"files": files, "summary": last(ran.stdout), "lines": lines}
    assert ran.returncode == 0, json.dumps(found)
    return found


if __name__ == "__main__":
    sys.exit(main())
