"""Kill -9 whoever sends over MQTT, again and again, with and without a broker. A program.

``python tests/kills_mqtt.py FOLDER PORT KILLS SEED`` sends numbered events to a broker on PORT of
this machine through one spool, in forks that are killed; every other one finds no broker. The last
one is let live until all is sent. It prints how many there were as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time

from broker import closed_port
from kills import RUN, Count, kill

from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks import make_sink


def send(text: str, done: Count, events: int | None = None) -> None:
    """Emit numbered events, on from the last one that was finished."""
    sink = make_sink(text, client_id="killed")
    sink.open(RUN)
    number = done.get()
    end = None if events is None else number + events
    while number != end:
        sink.emit(Event("gap", "x" * (number % 700), facts={"number": number}))
        number += 1
        done.set(number)
    limit = time.monotonic() + 60
    while len(sink._spool) and time.monotonic() < limit:
        time.sleep(0.01)
    sink.close()
    assert not sink.note, sink.note


def main(folder: str, port: str, kills: str, seed: str) -> None:
    """Do what is asked."""
    chance, done = random.Random(int(seed)), Count()
    with closed_port() as closed:
        for number in range(int(kills)):
            there = port if number % 2 else closed
            text = f"mqtt:127.0.0.1:{there},spool={folder}/spool"
            kill(lambda text=text: send(text, done), done, chance.uniform(0, 0.008))
    written = done.get()
    send(f"mqtt:127.0.0.1:{port},spool={folder}/spool", done, events=3)
    print(json.dumps({"kills": int(kills), "written": written + 3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
