"""Recordings on disk, or made: each module here turns one data set into pairs."""

from bioxedge.datasets.pair import Pair

__all__ = ["Pair"]
