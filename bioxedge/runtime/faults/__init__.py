"""Faults as a product: what happens to people's boards, done to any source."""

from bioxedge.runtime.faults.marks import Mark, Session, spoil
from bioxedge.runtime.faults.plan import KINDS, TRANSPORT, Fault, draw, parse
from bioxedge.runtime.faults.source import FaultSource, wrap

__all__ = [
    "KINDS",
    "TRANSPORT",
    "Fault",
    "FaultSource",
    "Mark",
    "Session",
    "draw",
    "parse",
    "spoil",
    "wrap",
]
