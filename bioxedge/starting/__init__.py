"""A recipe to start from, written from the recordings at hand: choices, and why they were made."""

from bioxedge.starting.athand import AtHand, Found, look
from bioxedge.starting.choosing import Choice, choose
from bioxedge.starting.shipped import copy, shipped
from bioxedge.starting.suiting import Chosen, foreign, seconds_of, suit
from bioxedge.starting.tasks import Known, choose_task
from bioxedge.starting.writing import text_of

__all__ = [
    "AtHand",
    "Choice",
    "Chosen",
    "Found",
    "Known",
    "choose",
    "choose_task",
    "copy",
    "foreign",
    "look",
    "seconds_of",
    "shipped",
    "suit",
    "text_of",
]
