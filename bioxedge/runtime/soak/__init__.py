"""A simulated day of faults through the real run loop, every window held to the truth."""

from bioxedge.runtime.soak.report import Report
from bioxedge.runtime.soak.run import BusyClock, Progress, Recorder, soak

__all__ = ["BusyClock", "Progress", "Recorder", "Report", "soak"]
