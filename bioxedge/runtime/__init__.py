"""The device leaf: from a sensor, through a bundle, to predictions. Never imports torch."""

from bioxedge.runtime.checking import check_sink, check_source
from bioxedge.runtime.engine import Engine
from bioxedge.runtime.loop import Tally, run
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sinks import JsonLinesSink, Sink, TerminalSink, make_sink
from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.sources.boards import channel_names
from bioxedge.runtime.sources.brainflow import BrainFlowSource
from bioxedge.runtime.sources.logreplay import LogReplay
from bioxedge.runtime.sources.playback import PlaybackSource, write_playback
from bioxedge.runtime.sources.push import PushSource
from bioxedge.runtime.sources.replay import ReplaySource
from bioxedge.runtime.stream import Prediction, Stream
from bioxedge.runtime.verify import Proof, Report, verify, verify_all

__all__ = [
    "BrainFlowSource",
    "Engine",
    "JsonLinesSink",
    "LogReplay",
    "PlaybackSource",
    "Prediction",
    "Proof",
    "PushSource",
    "Recorded",
    "ReplaySource",
    "Report",
    "Sink",
    "Source",
    "Stream",
    "Tally",
    "TerminalSink",
    "channel_names",
    "check_sink",
    "check_source",
    "make_sink",
    "run",
    "verify",
    "verify_all",
    "write_playback",
]
