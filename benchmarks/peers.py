"""The six published directions, one window at a time, in every runtime that takes the graph.

    python benchmarks/peers.py --out out/peers              # all six, one and two threads
    python benchmarks/peers.py --out out/peers --quick      # WESAD ECG→PPG, fewer rounds
    python benchmarks/peers.py --setup                      # the other runtimes, in .venv-peers

Full size, random weights. Rows: the reference's own path (both models in full, by hooks),
the truncated model in torch (eager; eager under bf16 autocast; compiled), ours (the exported
graph through `bioxedge.runtime.session`, fp32 and int8), and, in an environment of their own,
OpenVINO (f32 and bf16, the same ONNX file), ExecuTorch and LiteRT (both with XNNPACK, converted
from the same model). What is not installed or does not take the model is a row with its reason.

Every peer is a process of its own. It loads and answers four windows on one thread, which gives
its memory and its agreement with eager torch; then all take turns, round by round, so that a
drift of the machine is everybody's. The floor is what the window's multiply-accumulates take at
the best rate of any library for the model's own products, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OTHERS = ROOT / ".venv-peers" / "bin" / "python"
NAMES = ("WESAD PPG→ECG", "WESAD ECG→PPG", "ISRUC EEG→ECG", "ISRUC ECG→EEG", "FOG EEG→EMG",
         "FOG EMG→EEG")  # fmt: skip

PEERS = {
    "reference": ("reference's path (torch, both models)", "fp32"),
    "eager": ("truncated, torch eager", "fp32"),
    "eager-bf16": ("truncated, torch eager, bf16", "bf16"),
    "compile": ("truncated, torch.compile", "fp32"),
    "ours": ("**ours**, fp32", "fp32"),
    "ours-int8": ("**ours**, int8", "int8"),
    "openvino": ("OpenVINO f32", "fp32"),
    "openvino-bf16": ("OpenVINO bf16", "bf16"),
    "executorch": ("ExecuTorch, XNNPACK", "fp32"),
    "litert": ("LiteRT, XNNPACK", "fp32"),
}
ELSEWHERE = ("openvino", "openvino-bf16", "executorch", "litert")
FLOORS = ("floor", "floor-bf16")
SLOW = 2.0  # seconds of a run, of which two rounds must do
SETUP = (
    # The processor's torch first: asked for later, another package would bring the GPU's.
    ("torch==2.13.0",),
    ("openvino", "msgspec", "scipy", "torch==2.13.0"),
    ("executorch", "torch==2.13.0"),
    ("litert-torch", "torch==2.13.0"),
)


# -- processes ----------------------------------------------------------------------------------


@dataclass
class Peer:
    """A running peer.

    Attributes
    ----------
    name : str
    facts : dict
        What it said when it had loaded; ``error`` where it did not.
    limit : float
        Seconds that it may take to answer.
    seconds : dict of int to list of list of float
        Of every run, by threads and round.
    """

    name: str
    process: subprocess.Popen[str] | None = None
    limit: float = 240.0
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: dict[int, list[list[float]]] = field(default_factory=dict)

    def ask(self, threads: int, seconds: float) -> None:
        """Have it run for so long."""
        if self.process is None or "error" in self.facts:
            return
        assert self.process.stdin is not None
        try:
            print(threads, seconds, file=self.process.stdin, flush=True)
            found = heard(self.process, self.limit)
        except BrokenPipeError:
            found = {"error": "it ended by itself"}
        if "error" in found:
            self.facts |= {"error": f"{threads} threads: {found['error']}"}
            self.stop()
            return
        self.seconds.setdefault(threads, []).append(found["seconds"])

    def last(self, threads: int) -> float:
        """Give the seconds of its last run."""
        return self.seconds.get(threads, [[0.0]])[-1][-1]

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None


def heard(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """Wait for a line of JSON; what ends without one, or takes too long, is an error."""
    with ThreadPoolExecutor(1) as waiting:
        assert process.stdout is not None
        line = waiting.submit(process.stdout.readline)
        try:
            said = line.result(timeout=seconds)
        except TimeoutError:
            process.kill()
            return {"error": f"nothing after {seconds:.0f} s"}
    if not said:
        code = process.wait()
        return {"error": f"it ended with code {code}"}
    found: dict[str, Any] = json.loads(said)
    return found


def started(
    name: str, direction: str, folder: Path, log: IO[str], limit: float, processor: bool
) -> Peer:
    """Start a peer and wait until it has loaded."""
    clock = {"PEERS_PROCESSOR": "1"} if processor else {}
    python = str(OTHERS) if name in ELSEWHERE else sys.executable
    if name in ELSEWHERE and not OTHERS.exists():
        return Peer(name, facts={"error": "not installed (python benchmarks/peers.py --setup)"})
    words = [python, "-W", "ignore", str(HERE / "peer.py"), name, direction, str(folder)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **clock, "PYTHONPATH": os.pathsep.join(paths)},
    )
    began = time.perf_counter()
    peer = Peer(name, process, limit, heard(process, limit))
    peer.facts["ready_seconds"] = time.perf_counter() - began
    if "error" in peer.facts:
        peer.stop()
    return peer


# -- measuring ----------------------------------------------------------------------------------


def measured(direction: str, given: argparse.Namespace, say: Any) -> dict[str, Any]:
    """Measure one direction: every peer, every number of threads."""
    folder = given.out / "work" / direction.replace("→", "-").replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        maker = started("make", direction, folder, log, 4 * given.limit, False)
        maker.stop()
        if "error" in maker.facts:
            return {"direction": direction, "error": maker.facts["error"]}
        facts = maker.facts
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        names = [name for name in (*PEERS, *FLOORS) if name in (*given.peers, *FLOORS)]
        # Loading is not timed: two at once on two cores.
        with ThreadPoolExecutor(2) as loading:
            peers = list(
                loading.map(
                    lambda name: started(
                        name, direction, folder, log, given.limit, given.processor
                    ),
                    names,
                )
            )
        say(f"{direction}: loaded")
        try:
            for threads in given.threads:
                for turn in range(given.rounds):
                    for peer in peers:
                        if turn < 2 or peer.last(threads) < SLOW:
                            peer.ask(threads, given.seconds)
                say(f"{direction}: {threads} thread{'s' if threads > 1 else ''}")
        finally:
            for peer in peers:
                peer.stop()
    rows = {peer.name: row(peer) for peer in peers}
    return {"direction": direction, **facts, "load": os.getloadavg()[0], "rows": rows}


def row(peer: Peer) -> dict[str, Any]:
    """Sum a peer's turns up: the median of all, the best of rounds, and the middle half."""
    found: dict[str, Any] = dict(peer.facts)
    found["threads"] = {}
    for threads, rounds in peer.seconds.items():
        everything = sorted(one for turn in rounds for one in turn)
        quarter = len(everything) // 4
        found["threads"][str(threads)] = {
            "runs": len(everything),
            "median_ms": 1e3 * statistics.median(everything),
            "middle_half_ms": [1e3 * everything[quarter], 1e3 * everything[-1 - quarter]],
            "round_medians_ms": [1e3 * statistics.median(turn) for turn in rounds],
            "least_ms": 1e3 * everything[0],
        }
    return found


# -- tables and picture -------------------------------------------------------------------------


def tables(found: dict[str, Any]) -> str:
    """Write everything as Markdown."""
    clock = ", processor time" if found["clock"] == "processor" else ""
    lines = [f"{found['where']}; {found['versions']}{clock}", ""]
    for each in found["directions"]:
        lines += [f"**{each['direction']}**", ""]
        if "error" in each:
            lines += [f"not made: {each['error']}", ""]
            continue
        counts = [key for key in found["threads"] if any(timed(each, n, key) for n in each["rows"])]
        heads = [f"{key} thread{'s' if key > 1 else ''}, ms (middle half)" for key in counts]
        lines.append(
            "| " + " | ".join(["peer", *(h for pair in zip(heads, ["× ref."] * len(heads),
            strict=True) for h in pair), "peak MiB", "MB", "off torch"]) + " |"
        )  # fmt: skip
        lines.append("| --- " * (4 + 2 * len(counts)) + "|")
        for name, (title, _) in PEERS.items():
            if name in each["rows"]:
                lines.append(line_of(each, name, title, counts))
        lines += [floor_of(each, "floor", "floor, fp32", counts)]
        lines += [floor_of(each, "floor-bf16", "floor, bf16", counts), ""]
        lines += [limits(each, counts), ""]
    return "\n".join(lines) + "\n"


def timed(each: dict[str, Any], name: str, threads: int) -> dict[str, Any] | None:
    """Give a peer's times, if it has any."""
    times: dict[str, Any] | None = each["rows"].get(name, {}).get("threads", {}).get(str(threads))
    return times


def line_of(each: dict[str, Any], name: str, title: str, counts: list[int]) -> str:
    """Write a peer's line."""
    facts = each["rows"][name]
    cells = [title]
    for threads in counts:
        mine, reference = timed(each, name, threads), timed(each, "reference", threads)
        if mine is None:
            cells += ["–", "–"]
            continue
        low, high = mine["middle_half_ms"]
        cells.append(f"{mine['median_ms']:.1f} ({low:.1f}–{high:.1f})")
        cells.append(faster(reference, mine["median_ms"]))
    if "bytes" not in facts:
        cells += ["–", "–", cut_short(facts["error"])]
    else:
        cells += [f"{facts['peak_mib']:.0f}", f"{facts['bytes'] / 1e6:.1f}", f"{facts['off']:.0e}"]
        if "error" in facts:
            cells[-1] += f"; {cut_short(facts['error'])}"
    return "| " + " | ".join(cells) + " |"


def floor_of(each: dict[str, Any], name: str, title: str, counts: list[int]) -> str:
    """Write a floor's line: the least of all turns, for it is a rate that was reached."""
    cells = [f"*{title}*"]
    for threads in counts:
        mine, reference = timed(each, name, threads), timed(each, "reference", threads)
        if mine is None:
            cells += ["–", "–"]
        else:
            cells += [f"{mine['least_ms']:.1f}", faster(reference, mine["least_ms"])]
    return "| " + " | ".join([*cells, "–", "–", "–"]) + " |"


def faster(reference: dict[str, Any] | None, milliseconds: float) -> str:
    """Say how many times faster than the reference, where that was timed."""
    return "–" if reference is None else f"{reference['median_ms'] / milliseconds:.1f}"


def cut_short(said: str, length: int = 160) -> str:
    """Keep a reason on one line of a table."""
    said = " ".join(said.replace("|", "/").split())
    return said if len(said) <= length else f"{said[: length - 1]}…"


def limits(each: dict[str, Any], counts: list[int]) -> str:
    """Say how far ours is from the floor and from the fastest peer of the same precision."""
    said = []
    for threads in counts:
        ours, floor = timed(each, "ours", threads), timed(each, "floor", threads)
        if ours is None or floor is None:
            continue
        others = {
            name: times["median_ms"]
            for name, (_, kind) in PEERS.items()
            if kind == "fp32"
            and not name.startswith("ours")
            and (times := timed(each, name, threads)) is not None
        }
        line = f"{threads} thread{'s' if threads > 1 else ''}: fp32 at "
        line += f"{ours['median_ms'] / floor['least_ms']:.2f} × the floor"
        if others:
            best = min(others, key=lambda name: others[name])
            line += f", {ours['median_ms'] / others[best]:.2f} × {best}"
        said.append(line)
    parts = ", ".join(f"{kind} {share:.0%}" for kind, share in each["shares"].items())
    said.append(f"ours spends {parts}")
    return f"{each['macs'] / 1e6:,.0f} MMAC; " + "; ".join(said)


def picture(found: dict[str, Any], path: Path) -> str | None:
    """Draw every direction's times on one thread; None, or why it is not drawn."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        return "no picture: matplotlib is not installed"
    done = [each for each in found["directions"] if "rows" in each]
    if not done:
        return "no picture: nothing was measured"
    figure, axes = plt.subplots(
        1, len(done), figsize=(2.2 + 2.6 * len(done), 4), layout="constrained", squeeze=False,
        sharey=True,
    )  # fmt: skip
    titles = {name: title.replace("**", "") for name, (title, _) in PEERS.items()}
    for axis, each in zip(axes[0], done, strict=True):
        threads = found["threads"][0]
        for at, name in enumerate(PEERS):
            times = timed(each, name, threads)
            if times is not None:
                low, high = times["middle_half_ms"]
                middle = times["median_ms"]
                colour = "#c0392b" if name.startswith("ours") else "#7f8c8d"
                axis.barh(at, middle, color=colour, xerr=[[middle - low], [high - middle]])
                axis.text(middle * 1.05, at, f"{middle:.0f}", va="center", fontsize=7)
        floor = timed(each, "floor", threads)
        if floor is not None:
            axis.axvline(floor["least_ms"], color="black", linestyle=":", linewidth=1)
        axis.set_xscale("log")
        axis.margins(x=0.2)
        axis.set_title(each["direction"], fontsize=9)
        axis.set_xlabel(f"ms a window, {threads} thread{'s' if threads > 1 else ''}", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_yticks(range(len(PEERS)), [titles[name] for name in PEERS], fontsize=8)
    axes[0][0].invert_yaxis()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return None


# -- the command --------------------------------------------------------------------------------


def setup() -> int:
    """Make `.venv-peers`; what does not install is a row with its reason later."""
    if not OTHERS.exists():
        subprocess.run([sys.executable, "-m", "venv", str(OTHERS.parents[1])], check=True)
    for packages in SETUP:
        words = [str(OTHERS), "-m", "pip", "install", "--quiet", *packages]
        print(shlex.join(words), flush=True)
        if subprocess.run(words, check=False).returncode and packages == SETUP[0]:
            print("error: torch could not be installed", file=sys.stderr)
            return 2
    return 0


def versions() -> str:
    """Name what is compared, by version."""
    listing = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version"
    listing += " for d in m.distributions()}))"
    named = []
    for python, packages in (
        (sys.executable, ("torch", "onnxruntime", "numpy")),
        (str(OTHERS), ("openvino", "executorch", "litert-torch", "ai-edge-litert")),
    ):
        if Path(python).exists():
            done = subprocess.run([python, "-c", listing], capture_output=True, text=True)
            there = json.loads(done.stdout or "{}")
            named += [f"{name} {there[name]}" for name in packages if name in there]
    return ", ".join(named)


def where() -> str:
    """Name the processor."""
    lines: list[str] = []
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{model or platform.machine()} ({', '.join([f'{os.cpu_count()} cores', *wide])})"


def main() -> int:
    """Measure what was asked for; print it, and keep it as it comes."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, default=Path("out/peers"))
    options.add_argument("--setup", action="store_true", help="make .venv-peers, and stop")
    options.add_argument("--quick", action="store_true", help="WESAD ECG→PPG, two rounds")
    options.add_argument("--directions", nargs="+", choices=NAMES, metavar="DIRECTION")
    options.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    options.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    options.add_argument("--rounds", type=int)
    options.add_argument("--seconds", type=float, default=0.4, help="of a peer's turn")
    options.add_argument(
        "--limit", type=float, default=240.0, help="seconds to load, convert and compile in"
    )
    options.add_argument(
        "--processor",
        action="store_true",
        help="count processor time, on one thread: where others work on the machine",
    )
    given = options.parse_args()
    if given.setup:
        return setup()
    given.threads = [1] if given.processor else given.threads
    given.directions = given.directions or (["WESAD ECG→PPG"] if given.quick else list(NAMES))
    given.rounds = given.rounds or (2 if given.quick else 3)
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)

    found: dict[str, Any] = {"where": where(), "versions": versions(), "threads": given.threads}
    found |= {"clock": "processor" if given.processor else "wall", "directions": []}
    code = 0
    try:
        for direction in given.directions:
            found["directions"].append(measured(direction, given, say))
            keep(found, given.out)
    except KeyboardInterrupt:
        print(f"stopped; what was measured is in {given.out}", file=sys.stderr)
        code = 130
    print(tables(found))
    why = picture(found, given.out / "peers.png")
    print(why or f"{given.out / 'peers.png'}")
    found["seconds"] = time.monotonic() - began
    keep(found, given.out)
    return code


def keep(found: dict[str, Any], out: Path) -> None:
    """Write the figures and the tables."""
    (out / "peers.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (out / "peers.md").write_text(tables(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
