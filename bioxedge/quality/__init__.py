"""Is this a signal at all: judged alike in training and live, on raw samples before any stage."""

from bioxedge.quality.judge import Judge, memory_for
from bioxedge.quality.verdict import ChannelVerdict, Verdict

__all__ = ["ChannelVerdict", "Judge", "Verdict", "memory_for"]
