"""How sources and sinks are written."""

from __future__ import annotations

import pytest

from bioxedge.errors import SinkError, SourceError
from bioxedge.spelled import Spelled


@pytest.mark.parametrize(
    ("text", "kind", "what", "options"),
    [
        ("terminal", "terminal", "", {}),
        ("brainflow:cyton,serial_port=/dev/ttyUSB0", "brainflow", "cyton",
         {"serial_port": "/dev/ttyUSB0"}),
        ("replay:a, b,c/d", "replay", "a, b,c/d", {}),
        ("replay:C:/x,speed=max", "replay", "C:/x", {"speed": "max"}),
        ("lsl:type=PPG,timeout=3", "lsl", "", {"type": "PPG", "timeout": "3"}),
        ("mqtt:h:8883,client-id=a=b", "mqtt", "h:8883", {"client_id": "a=b"}),
        ("jsonl:x=1,y", "jsonl", "", {"x": "1,y"}),
    ],
)  # fmt: skip
def test_a_word_is_taken_apart(text, kind, what, options):
    spelled = Spelled.parse(text, "source")
    assert (spelled.kind, spelled.what, spelled.options) == (kind, what, options)


@pytest.mark.parametrize("text", ["mqtt:h,port=", "mqtt:h,port=1,port=2", "mqtt:h,a-b=1,a_b=2"])
def test_what_says_nothing_or_twice_is_refused(text):
    with pytest.raises(SinkError, match="write sink options as KEY=VALUE"):
        Spelled.parse(text, "sink")


def test_unknown_options_name_the_nearest():
    spelled = Spelled.parse("lsl:x,timout=3", "source")
    with pytest.raises(SourceError, match="source lsl knows no option 'timout': did you mean time"):
        spelled.only("timeout", "type")
    with pytest.raises(SourceError, match="takes a number of 1 or more as timout, got '3x'"):
        Spelled.parse("lsl:x,timout=3x", "source").number("timout", 1.0, least=1.0)
    assert spelled.number("timout", 1.0) == 3.0 and spelled.number("other", 2.0) == 2.0
