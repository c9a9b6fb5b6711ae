"""A fleet of devices on one MQTT broker, all on this machine: what goes through, and what it costs.

::

    python benchmarks/fleet.py --devices 1000 --seconds 60 --out out/fleet.json

Every device is the sink that ``bioxedge run --sink mqtt:…`` uses: its own client id, topics, last
will, spool and connection; it emits a label every two seconds. A mosquitto of this machine is the
broker, another process listens to all of them. In the middle the broker is stopped for five
seconds and started again. The bundle and its model are not run: only what the sink costs counts.
"""

from __future__ import annotations

import argparse
import getpass
import json
import multiprocessing
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

AWAY = 5.0
"""Seconds for which the broker is stopped."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LABELS = ("rest", "stress")


def cpu(pid: int) -> float:
    """Give the seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Give the bytes that a process has in memory, its own alone."""
    rss, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    return (int(rss) - int(shared)) * _PAGE


# -- the devices --------------------------------------------------------------------------


def devices(names: list[str], port: int, spools: str, every: float, pipe: Any) -> None:
    """Run some devices until told to end; say what they cost, whenever asked."""
    from bioxedge.quality import Verdict  # noqa: F401 - imported before memory is looked at
    from bioxedge.runtime.prediction import Prediction, Quality
    from bioxedge.runtime.sinks.base import RunInfo
    from bioxedge.runtime.sinks.mqtt import MqttSink, make_mqtt
    from bioxedge.spelled import Spelled

    make_mqtt(Spelled.parse(f"mqtt:127.0.0.1:{port}", "sink"))  # imports paho
    before = memory(os.getpid())
    about = RunInfo(_LABELS, bundle="fleet", source="benchmark", rate=64.0, hop=every)
    sinks: list[MqttSink] = []
    for name in names:
        text = f"mqtt:127.0.0.1:{port},spool={spools}/{name}"
        sinks.append(make_mqtt(Spelled.parse(text, "sink"), name))
        sinks[-1].open(about)
    pipe.send({"opened": len(sinks)})
    begun = time.monotonic()
    sent = [0] * len(sinks)
    place = 0
    while True:
        due = begun + every * place / len(sinks)
        while (left := due - time.monotonic()) > 0 or pipe.poll():
            if not pipe.poll(max(left, 0.0)):
                continue
            if pipe.recv() == "cost":
                used = memory(os.getpid()) - before
                pipe.send({"cpu": cpu(os.getpid()), "memory": used, "sent": sum(sent)})
            else:
                for sink in sinks:
                    sink.take_events()
                pipe.send({"sent": dict(zip(names, sent, strict=True))})
                for sink in sinks:
                    sink.close()
                pipe.send({"notes": [sink.note for sink in sinks if sink.note]})
                return
        which = place % len(sinks)
        now, monotonic = time.time(), time.monotonic_ns()
        share = {"rest": 0.8, "stress": 0.2}
        good = Quality(1.0)
        sinks[which].emit(  # the window ends now, so that its time is that of the sending
            Prediction("rest", share, -10, 0, now, monotonic, 0.002, 0.003, 64.0, good, 0, 0)
        )
        sent[which] += 1
        place += 1


# -- who listens --------------------------------------------------------------------------


def listen(port: int, pipe: Any) -> None:
    """Hear all devices: how late each message is, and which numbers came."""
    from paho.mqtt import client as paho

    delays: list[float] = []
    numbers: dict[str, list[int]] = {}
    online: dict[str, float] = {}

    def hear(_client: Any, _userdata: Any, message: Any) -> None:
        now = time.time()
        _, device, last = message.topic.split("/")
        if last == "status":
            if message.payload == b"online":
                online[device] = now
            else:
                online.pop(device, None)
            return
        about = json.loads(message.payload)
        delays.append(now - about["time"])
        numbers.setdefault(device, []).append(about["seq"])

    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, "listener", protocol=paho.MQTTv311, clean_session=False
    )
    client.reconnect_delay_set(1, 1)
    topics = [("bioxedge/+/prediction", 1), ("bioxedge/+/status", 1)]
    client.on_connect = lambda c, *_: c.subscribe(topics)
    client.on_message = hear
    client.connect("127.0.0.1", port)
    client.loop_start()
    while (asked := pipe.recv()) != "end":
        if asked == "online":
            pipe.send((len(online), max(online.values(), default=0.0)))
        elif asked == "heard":
            pipe.send(sum(len(one) for one in numbers.values()))
        else:  # the delays since the last time
            pipe.send(delays[:])
            delays.clear()
    pipe.send(numbers)
    client.disconnect()
    client.loop_stop()


# -- the broker and the whole -------------------------------------------------------------


def broker(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start mosquitto, and wait until it listens."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        sys.exit("mosquitto is not installed: apt-get install mosquitto")
    config = folder / "mosquitto.conf"
    lines = (
        f"listener {port} 127.0.0.1", "allow_anonymous true", "log_dest none", "persistence true",
        f"persistence_location {folder}/", f"user {getpass.getuser()}", "max_queued_messages 0",
        "max_inflight_messages 1000",
    )  # fmt: skip
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([found, "-c", str(config)], stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            if process.poll() is not None:
                sys.exit("mosquitto ended at once")
            time.sleep(0.01)


def percentiles(delays: list[float]) -> dict[str, float]:
    """Give milliseconds."""
    cuts = statistics.quantiles(delays, n=100)
    return {"p50_ms": 1e3 * cuts[49], "p99_ms": 1e3 * cuts[98], "max_ms": 1e3 * max(delays)}


def ask(pipe: Any, what: str) -> Any:
    """Ask another process, and wait for its answer."""
    pipe.send(what)
    return pipe.recv()


def all_online(pipe: Any, count: int, seconds: float) -> float:
    """Wait until all are; give the wall time at which the last one was."""
    limit = time.monotonic() + seconds
    while (found := ask(pipe, "online"))[0] < count:
        if time.monotonic() > limit:
            sys.exit(f"{found[0]} of {count} devices are connected after {seconds:.0f} s")
        time.sleep(0.1)
    return float(found[1])


def measure(count: int, processes: int, seconds: float, every: float) -> dict[str, Any]:
    """Run the fleet; give what is in the table and in the file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 200
    if soft < wanted:
        if hard < wanted:
            sys.exit(f"{wanted} open files are needed, {hard} allowed: ulimit -n {wanted}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    found: dict[str, Any] = {
        "devices": count, "every_s": every, "processes": processes, "cores": os.cpu_count(),
        "open_files_allowed": max(soft, min(wanted, hard)), "load_before": os.getloadavg()[0],
    }  # fmt: skip
    fast = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a device has a disk of its own
    with tempfile.TemporaryDirectory(dir=fast) as name:
        folder = Path(name)
        found["spools_on"] = name.rpartition("/")[0]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        daemon = broker(folder, port)
        context = multiprocessing.get_context("spawn")
        ears, far = context.Pipe()
        listener = context.Process(target=listen, args=(port, far))
        listener.start()
        names = [f"device-{number:04d}" for number in range(count)]
        pipes, workers = [], []
        begun = time.time()
        for number in range(processes):
            near, far = context.Pipe()
            arguments = (names[number::processes], port, name, every, far)
            workers.append(context.Process(target=devices, args=arguments))
            workers[-1].start()
            pipes.append(near)
        for pipe in pipes:
            pipe.recv()
        found["connect_s"] = all_online(ears, count, 120) - begun
        found |= _steady(ears, pipes, daemon.pid, count, seconds)
        daemon.terminate()
        daemon.wait()
        time.sleep(AWAY)
        daemon = broker(folder, port)
        back = time.time()
        found["reconnect_s"] = all_online(ears, count, 180) - back
        found |= _end(ears, pipes)
        for worker in (*workers, listener):
            worker.join()
        daemon.terminate()
        daemon.wait()
    return found


def _steady(ears: Any, pipes: list[Any], pid: int, count: int, seconds: float) -> dict[str, Any]:
    """Measure while nothing happens."""
    time.sleep(5)
    ask(ears, "delays")
    before = [ask(pipe, "cost") for pipe in pipes]
    broker_before, begun = cpu(pid), time.monotonic()
    time.sleep(seconds)
    after = [ask(pipe, "cost") for pipe in pipes]
    took = time.monotonic() - begun
    delays = ask(ears, "delays")
    used = sum(b["cpu"] - a["cpu"] for a, b in zip(before, after, strict=True))
    return {
        "seconds": took,
        "labels_a_second": len(delays) / took,
        "messages_a_second_into_the_broker": 2 * len(delays) / took,  # and the state beside it
        **percentiles(delays),
        "device_cpu_percent_of_a_core": 100 * used / took / count,
        "device_memory_kB": sum(one["memory"] for one in after) / count / 1e3,
        "broker_cpu_percent_of_a_core": 100 * (cpu(pid) - broker_before) / took,
        "broker_memory_MB": memory(pid) / 1e6,
    }


def _end(ears: Any, pipes: list[Any]) -> dict[str, Any]:
    """Let all devices end, and hold what was heard against what was sent."""
    time.sleep(5)
    sent: dict[str, int] = {}
    for pipe in pipes:
        pipe.send("end")
    for pipe in pipes:
        sent |= pipe.recv()["sent"]
    notes = [note for pipe in pipes for note in pipe.recv()["notes"]]
    limit = time.monotonic() + 60
    while ask(ears, "heard") < sum(sent.values()) and time.monotonic() < limit:
        time.sleep(0.1)
    time.sleep(1)
    numbers = ask(ears, "end")
    lost = sum(len(set(range(n)) - set(numbers.get(name, ()))) for name, n in sent.items())
    first = {name: list(dict.fromkeys(one)) for name, one in numbers.items()}
    return {
        "sent": sum(sent.values()),
        "lost": lost,
        "doubles": sum(len(one) for one in numbers.values()) - sum(map(len, first.values())),
        "devices_out_of_order": sum(one != sorted(one) for one in first.values()),
        "still_spooled": len(notes),
    }


def main() -> None:
    """Measure, write JSON, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=2.0, help="seconds from label to label")
    parser.add_argument("--out", type=Path, default=Path("out/fleet.json"))
    asked = parser.parse_args()
    found = measure(asked.devices, asked.processes, asked.seconds, asked.every)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    for key, value in found.items():
        print(f"{key:36} {value:,.3f}" if isinstance(value, float) else f"{key:36} {value}")


if __name__ == "__main__":
    main()
