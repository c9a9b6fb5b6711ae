"""Hold a source or a sink that somebody else wrote to what the run loop relies on."""

from bioxedge.runtime.checking.holding import Checked
from bioxedge.runtime.checking.sink import check_sink
from bioxedge.runtime.checking.source import check_source

__all__ = ["Checked", "check_sink", "check_source"]
