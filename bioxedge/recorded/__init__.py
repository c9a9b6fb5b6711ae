"""A source's reads on disk, one after another, so that a kill or a power cut costs a moment.

A folder holds ``stream.json``, which says what was recorded, and parts that are only ever appended
to: frames with a length and a check sum each. What a source's ``read`` gave is in them exactly,
so that the same can be given again (docs/recording.md has the format).
"""

from bioxedge.recorded.about import FORMAT, STREAM, About, streams
from bioxedge.recorded.loading import load
from bioxedge.recorded.read import End, Read
from bioxedge.recorded.reader import Reader, Take
from bioxedge.recorded.writer import Writer

__all__ = [
    "FORMAT",
    "STREAM",
    "About",
    "End",
    "Read",
    "Reader",
    "Take",
    "Writer",
    "load",
    "streams",
]
