"""The spool: in order, bounded, private, mended, and whole after any kill."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from broker import Broker, Listener, needs_mosquitto, until
from fixtures_disk import small_disk

from bioxedge.errors import SinkError
from bioxedge.runtime.sinks.mqtt.spool import NUMBER, Spool

ROOT = Path(__file__).resolve().parent.parent
KILLS = 50


def message(number, length=200):
    return b'{"seq":' + NUMBER + b',"n":%d,"x":"%s"}' % (number, b"x" * length)


def filled(folder, count=50, size=10**6, length=200):
    with_all = Spool(folder, size)
    for number in range(count):
        with_all.append(0, message(number, length))
    with_all.close()
    return folder


def waiting(spool):
    """Give the numbers of what waits, as their writer counted them."""
    found, after = [], -1
    while batch := spool.pending(after, 20):
        found += [json.loads(one.payload)["n"] for one in batch]
        after = batch[-1].number
    return found


def opened(folder, size=10**6):
    spool = Spool(folder, size)
    found = waiting(spool)
    spool.close()
    return found, spool.said


def segments(folder):
    return sorted(folder.glob("*.spool"))


def aside(folder):
    return sorted(path for path in folder.iterdir() if path.name.startswith("damaged-"))


def test_what_waits_comes_in_order_also_in_the_next_run_and_after_it_is_done_never(tmp_path):
    spool = Spool(tmp_path / "s", 10**6)
    numbers = [spool.append(n % 2, message(n)) for n in range(500)]
    assert numbers == list(range(500)) and len(spool) == 500
    assert json.loads(spool.pending(-1, 1)[0].payload)["seq"] == 0
    spool.acknowledge(123)
    spool.close()
    again = Spool(tmp_path / "s", 10**6)
    assert waiting(again) == list(range(124, 500)) and not again.said
    assert [one.kind for one in again.pending(199, 4)] == [0, 1, 0, 1]
    again.acknowledge(499)
    assert again.append(0, message(0)) == 500  # numbers go on
    again.acknowledge(500)
    assert len(again) == 0 and again.pending(-1, 20) == []
    again.close()
    assert opened(tmp_path / "s") == ([], [])
    third = Spool(tmp_path / "s", 10**6)
    assert third.append(0, message(0)) == 501
    third.close()


def test_a_full_spool_leaves_the_oldest_out_counts_them_and_keeps_within_its_bound(tmp_path):
    spool = Spool(tmp_path / "s", 100_000)
    for number in range(5000):
        spool.append(0, message(number))
        assert spool.taken <= 100_000
    kept = waiting(spool)
    assert kept == list(range(kept[0], 5000)) and 300 < len(kept) < 500
    assert spool.left_out == kept[0]
    assert spool.missing == (kept[0], kept[0] - 1)
    spool.close()
    assert sum(path.stat().st_size for path in (tmp_path / "s").iterdir()) < 101_000
    again = Spool(tmp_path / "s", 100_000)  # what is not told yet is told by the next run
    assert again.missing == (kept[0], kept[0] - 1)
    again.told(kept[0])
    assert again.missing[0] == 0
    again.close()


def test_what_is_smaller_than_it_was_keeps_its_newest(tmp_path):
    filled(tmp_path / "s", 2000)
    spool = Spool(tmp_path / "s", 100_000)
    spool.append(0, message(2000))
    kept = waiting(spool)
    assert kept == list(range(kept[0], 2001)) and spool.taken <= 100_000
    assert spool.missing[0] == kept[0]
    spool.close()


def test_only_its_user_can_read_it(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir(mode=0o755)
    filled(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_the_second_one_is_told_who_holds_it(tmp_path):
    spool = Spool(tmp_path / "s", 10**6)
    program = (
        "import sys; from bioxedge.runtime.sinks.mqtt.spool import Spool; Spool(sys.argv[1], 10**6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"is held by process {os.getpid()}: stop it, or" in done.stderr
    spool.close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"cannot be used: Not a directory; .*spool=DIR"):
        Spool(tmp_path / "file" / "s", 10**6)


# -- damage -------------------------------------------------------------------------------


def test_a_torn_tail_costs_the_torn_message_alone(tmp_path):
    folder = filled(tmp_path / "s")
    last = segments(folder)[-1]
    raw = last.read_bytes()
    last.write_bytes(raw[:-7])
    found, said = opened(folder)
    assert found == list(range(49))
    assert len(said) == 1 and "49 messages kept" in said[0] and str(aside(folder)[0]) in said[0]
    assert aside(folder)[0].read_bytes() == raw[:-7]
    assert opened(folder) == (found, [])  # it is mended, and said once


@pytest.mark.parametrize("place", [0, 3, 30, 1000, 5000, 9000])
def test_a_flipped_bit_costs_one_message_at_most(tmp_path, place):
    folder = filled(tmp_path / "s")
    path = segments(folder)[0]
    raw = bytearray(path.read_bytes())
    raw[place] ^= 4
    path.write_bytes(raw)
    found, said = opened(folder)
    assert found == sorted(set(range(50)) & set(found)) and len(found) >= 49
    assert len(said) == 1 and f"{len(found)} messages kept" in said[0]
    assert aside(folder)[0].read_bytes() == bytes(raw)


def test_rubbish_between_zeros_behind_and_half_a_file_lose_nothing_that_can_be_read(tmp_path):
    folder = filled(tmp_path / "s", 1000, 200_000)
    first, second, *_ = segments(folder)
    whole = waiting_before = opened(folder, 200_000)[0]
    raw = first.read_bytes()
    half = len(raw) // 2
    first.write_bytes(raw[:half])
    second.write_bytes(second.read_bytes() + bytes(4096))
    found, said = opened(folder, 200_000)
    assert len(said) == 2 and len(aside(folder)) == 2
    missing = sorted(set(waiting_before) - set(found))
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert 15 < len(missing) < 30 and found == sorted(found)
    assert whole[-1] == found[-1] == 999


def test_another_version_is_put_aside_and_named(tmp_path):
    folder = filled(tmp_path / "s", 1)
    newer = b"bioxedge-spool 2\n" + os.urandom(500)
    segments(folder)[0].write_bytes(newer)
    found, said = opened(folder)
    assert found == [] and len(said) == 1 and "of version '2'" in said[0]
    assert aside(folder)[0].read_bytes() == newer


def test_a_damaged_mark_sends_again_rather_than_nothing(tmp_path):
    folder = filled(tmp_path / "s")
    spool = Spool(folder, 10**6)
    spool.acknowledge(20)
    spool.close()
    (folder / "mark").write_bytes(b"rubbish")
    found, said = opened(folder)
    assert found == list(range(50)) and len(said) == 1 and "sent again" in said[0]


def test_files_that_were_put_aside_fill_no_disk(tmp_path):
    folder = tmp_path / "s"
    for _ in range(12):
        filled(folder, 100, 100_000)
        path = segments(folder)[-1]
        path.write_bytes(path.read_bytes()[:-1])
    opened(folder, 100_000)
    assert sum(path.stat().st_size for path in aside(folder)) <= 100_000


def test_a_full_disk_leaves_out_and_goes_on_when_there_is_room(tmp_path):
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", 200) as disk:
        spool = Spool(disk / "s", 10**9)
        for number in range(2000):
            spool.append(0, message(number))
        assert spool.left_out > 1000
        kept = waiting(spool)
        assert kept == sorted(kept) and len(kept) + spool.left_out == 2000
        for number in range(kept[0], 2000):
            spool.acknowledge(number)
        spool.append(0, message(2000))
        assert waiting(spool) == [2000]
        assert spool.missing[0] == spool.left_out
        spool.close()


# -- kills --------------------------------------------------------------------------------


def killing(*arguments):
    """Run the program that kills, and give what it found."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "kills_mqtt.py"), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_writer_that_dies_at_any_line_loses_nothing_and_damages_nothing(tmp_path):
    assert killing("spool", tmp_path / "s")["kills"] > 60


@needs_mosquitto
@pytest.mark.skipif(
    importlib.util.find_spec("paho") is None,
    reason="paho is not installed: pip install 'bioxedge[mqtt]'",
)
def test_whoever_is_killed_while_it_spools_every_message_comes_at_least_once_and_in_order(tmp_path):
    with Broker(tmp_path / "broker") as broker, Listener(broker) as listener:
        found = killing(tmp_path, broker.port, KILLS, 7)
        assert found["kills"] == KILLS and found["written"] > KILLS

        def numbers():
            about = [one for one in listener.numbered() if one["event"] == "gap"]
            return [one["number"] for one in about]

        last = b'"number": %d,' % (found["written"] - 1)
        until(lambda: any(last in raw for _, raw, _ in listener.heard[-50:]), what="the last one")
        heard = list(dict.fromkeys(numbers()))  # a kill before the count: one number, two messages
        assert heard == list(range(found["written"]))
        others = [one for one in listener.numbered() if one["event"] != "gap"]
        assert not any("left_out" in one for one in others)
