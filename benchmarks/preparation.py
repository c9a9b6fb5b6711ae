"""What preparing a night for training takes: time, and peak memory.

    python benchmarks/preparation.py                 # 8 h of six EEG channels at 256 Hz, 3,000 gaps
    python benchmarks/preparation.py --target ecg    # six leads: the clocks are compared, too
    python benchmarks/preparation.py --gaps 0 --hours 1

One person, a wrist's PPG at 64 Hz as source; the night is made first and written as two recordings.
Then a process of its own does what `build` does: it reads them, cuts both into windows of 10 s,
judges each, computes classic features and writes all to mapped files. Its peak is the kernel's
``ru_maxrss``; ``imports`` is what it was before a recording was opened, torch with it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bioxedge import recording, spec
from bioxedge.recipes import Data, Model, Recipe, Sensor, Side, Task
from bioxedge.signals import Channel, Recording
from bioxedge.simulated.endless import PIECE, Endless

RATE, CHANNELS = 256.0, 6
HELD = 16  # samples of a gap that are held over
LIMIT = 1024.0  # MiB
EEG = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")


def make(folder: Path, hours: float, gaps: int, modality: str) -> None:
    """Write a night of one person: ``source`` and ``target`` of one session."""
    rng = np.random.default_rng(0)
    ppg = _lived("ppg", 64.0, hours)
    names = EEG if modality == "eeg" else LEADS
    count = round(hours * 3600 * RATE)
    target = np.empty((CHANNELS, count))
    heart = _lived("ecg", RATE, hours)[:count] if modality == "ecg" else np.zeros(count)
    for row in target:  # EEG: noise that falls with its frequency, some 10 µV of it
        row[:] = rng.standard_normal(count)
        row += 0.95 * np.concatenate([[0.0], row[:-1]])
        row *= 0.005 if modality == "ecg" else 8.0
        row += heart * rng.uniform(0.5, 1.0)
    # A radio loses a packet often and a link seldom: one gap in fifty is too long to be held over.
    for number, first in enumerate(rng.integers(0, count, gaps).tolist()):
        longest = round(20 * RATE) if number % 50 == 0 else HELD
        target[:, first : first + int(rng.integers(1, longest + 1))] = np.nan
    unit = "mV" if modality == "ecg" else "uV"
    for name, samples, rate, kind, channels in (
        ("source", ppg[None], 64.0, "ppg", (Channel("ppg_2"),)),
        ("target", target, RATE, modality, tuple(Channel(each, unit) for each in names)),
    ):
        recording.save(
            Recording(samples, rate, channels, kind, "anna"), folder / "data" / "night" / name
        )


def _lived(modality: str, rate: float, hours: float) -> np.ndarray:
    """Give hours of one simulated person through one sensor."""
    person = Endless(modality, rate)
    pieces = [person.piece(number) for number in range(-int(-hours * 3600 // PIECE))]
    return np.concatenate(pieces)[: round(hours * 3600 * rate)]


def recipe(modality: str) -> Recipe:
    """Say what is cut, as a recipe does."""
    names, unit = (LEADS, "mV") if modality == "ecg" else (EEG, "uV")
    rate = 250 if modality == "ecg" else 200
    stages = (
        spec.Filter(design="butterworth", cutoff=(0.5, 40.0), order=2),
        spec.Resample(up=rate // 2, down=128) if rate == 250 else spec.Resample(up=25, down=32),
    )
    return Recipe(
        name="night",
        data=Data(dataset="folder", folder="data"),
        task=Task(channel="class", labels=("rest", "stress"), rule="classes"),
        source=Side(
            sensor=Sensor(modality="ppg", column="ppg_2", channel="ppg_2", unit="a.u.", rate=64.0),
            model=Model(name="papagei"),
            length=640,
            hop=320,
            stages=(spec.Filter(design="butterworth", cutoff=(0.5, 8.0), order=2),),
        ),
        target=Side(
            sensor=Sensor(modality=modality, column=names, channel=names, unit=unit, rate=RATE),
            model=Model(name="hubert-ecg" if modality == "ecg" else "cbramod"),
            length=10 * rate,
            hop=5 * rate,
            stages=stages,
            max_gap=HELD,
        ),
    )


def prepare(folder: Path, modality: str) -> None:
    """Do it in this process; print what it took as JSON."""
    from rich.console import Console

    from bioxedge.building.progress import Steps
    from bioxedge.building.store import Store
    from bioxedge.building.windowing import windows_of
    from bioxedge.datasets.choosing import choose

    imports, began = _peak(), time.perf_counter()
    wanted = recipe(modality)
    chosen, left = choose(wanted, folder)
    store = Store(folder / "steps", Steps(Console(quiet=True)))
    found = windows_of(wanted, chosen, left, store)
    took = time.perf_counter() - began
    bytes_ = sum(path.stat().st_size for path in (folder / "steps").rglob("*") if path.is_file())
    print(
        json.dumps(
            {
                "seconds": round(took, 1),
                "peak": round(_peak()),
                "imports": round(imports),
                "windows": len(found),
                "both": int(((found.source_row >= 0) & (found.target_row >= 0)).sum()),
                "disk": round(bytes_ / 2**20),
                "clocks": list(found.clocks.values()),
                "left": [f"{each.why}: {each.windows}" for each in found.left],
            }
        )
    )


def _peak() -> float:
    """Most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Make the night, prepare it in a process of its own, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--gaps", type=int, default=3000)
    parser.add_argument("--target", choices=("eeg", "ecg"), default="eeg")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.prepare is not None:
        prepare(asked.prepare, asked.target)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, asked.hours, asked.gaps, asked.target)
        words = [sys.executable, __file__, "--prepare", name, "--target", asked.target]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        samples = sum(path.stat().st_size for path in folder.rglob("samples*.npy")) / 2**20
    found = json.loads(done.stdout)
    print(
        f"{asked.hours:g} h, {CHANNELS} channels of {asked.target.upper()} at {RATE:g} Hz with "
        f"{asked.gaps} gaps beside PPG at 64 Hz: {samples:.0f} MiB of samples"
    )
    print(f"{found['windows']} windows, {found['both']} of both; {found['disk']} MiB written")
    print(
        f"{found['seconds']:.1f} s, peak {found['peak']} MiB ({found['imports']} of them imports; "
        f"limit {LIMIT:g}: {'kept' if found['peak'] <= LIMIT else 'BROKEN'})"
    )
    for line in (*found["clocks"], *found["left"]):
        print(f"  {line}")


if __name__ == "__main__":
    main()
