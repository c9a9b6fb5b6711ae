"""Another LSL client than ours: reads what a run sends with mne-lsl, and prints it as JSON.

``python tests/lsl_client.py NAME SECONDS``; says ``ready`` once it listens.
"""

from __future__ import annotations

import json
import sys
import time

from mne_lsl.lsl import StreamInlet, resolve_streams


def main(name: str, seconds: float) -> None:
    wanted = [name, f"{name}-probabilities", f"{name}-events"]
    inlets, limit = {}, time.monotonic() + seconds
    while len(inlets) < 3 and time.monotonic() < limit:
        for info in resolve_streams(timeout=1.0):
            if info.name in wanted and info.name not in inlets:
                inlets[info.name] = StreamInlet(info)
    heads = {}
    for inlet in inlets.values():
        inlet.open_stream(timeout=5)
    for one, inlet in inlets.items():
        info = inlet.get_sinfo(timeout=5)
        heads[one] = {
            "type": info.stype, "id": info.source_id, "channels": info.get_channel_names(),
            "units": info.get_channel_units(), "rate": info.sfreq, "xml": info.as_xml,
        }  # fmt: skip
    print("ready", flush=True)
    got = {one: [] for one in inlets}
    count, quiet = 0, time.monotonic()
    while time.monotonic() < limit:
        for one, inlet in inlets.items():
            data, stamps = inlet.pull_chunk(timeout=0.0)
            rows = data if isinstance(data, list) else data.tolist()
            got[one] += [[stamp, row] for stamp, row in zip(stamps.tolist(), rows, strict=True)]
        count, before = sum(map(len, got.values())), count
        quiet = time.monotonic() if count != before else quiet
        if count and time.monotonic() - quiet > 1.0:
            break
        time.sleep(0.01)
    print(json.dumps({"heads": heads, "got": got}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
