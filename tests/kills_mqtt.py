"""Kill -9 whoever sends over MQTT, again and again, with and without a broker. A program.

``python tests/kills_mqtt.py spool FOLDER`` lets a spool's writer die at every line of our code.
``python tests/kills_mqtt.py FOLDER PORT KILLS SEED`` sends numbered events to a broker on PORT of
this machine through one spool, in forks that are killed; every other one finds no broker. The last
one is let live until all is sent. It prints how many there were as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from broker import closed_port
from kills import RUN, Count, kill

from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks import make_sink
from bioxedge.runtime.sinks.mqtt.spool import NUMBER, Spool


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


def write(folder: Path, done: Count, meant: Count, acknowledged: Count) -> None:
    """Keep some messages and let go of some, over two segments."""
    spool = Spool(folder, 64_000)
    for _ in range(12):
        number = spool.next
        spool.append(0, b'{"seq":' + NUMBER + b',"x":"%s"}' % (b"x" * 700))
        done.set(number + 1)
        if number % 3 == 2:
            meant.set(number - 1)
            spool.acknowledge(number - 2)
            acknowledged.set(number - 1)
    spool.close()


def at_every_line(folder: Path) -> None:
    """Kill a writer at every line in turn, and look at what waits after each."""
    done, meant, acknowledged, at, kills = Count(), Count(), Count(), 0, 0
    while not kill(lambda: write(folder, done, meant, acknowledged), done, 0, at):
        kills += 1
        at += 1 + at // 30
        spool = Spool(folder, 64_000)
        found = [json.loads(one.payload)["seq"] for one in spool.pending(-1, 10**6)]
        assert not spool.said, spool.said
        assert spool.missing[0] == 0
        first = found[0] if found else spool.next
        assert found == list(range(first, first + len(found))), "one is missing, or out of order"
        assert first in (acknowledged.get(), meant.get()), "one was let go, or came back"
        assert spool.next - done.get() in (0, 1), "one was lost"
        if len(found) > 40:  # there is room for some more than that
            spool.acknowledge(found[-1])
            first = spool.next
        done.set(spool.next)
        acknowledged.set(first)
        meant.set(first)
        spool.close()
    print(json.dumps({"kills": kills}))


def main(folder: str, port: str, kills: str, seed: str) -> None:
    """Do what is asked."""
    chance, done = random.Random(int(seed)), Count()
    with closed_port() as closed:
        for number in range(int(kills)):
            there = port if number % 2 else closed
            text = f"mqtt:127.0.0.1:{there},spool={folder}/spool"
            kill(lambda text=text: send(text, done), done, chance.uniform(0, 0.004))
    written = done.get()
    send(f"mqtt:127.0.0.1:{port},spool={folder}/spool", done, events=3)
    print(json.dumps({"kills": int(kills), "written": written + 3}))


if __name__ == "__main__":
    if sys.argv[1] == "spool":
        at_every_line(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:])
