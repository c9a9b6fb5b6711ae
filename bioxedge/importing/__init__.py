"""From files that people have to sessions that a recipe can name: found, planned, written.

Nothing is trained and nothing is guessed in silence: what a file does not say is told with an
option, and every assumption is a remark.
"""

from bioxedge.importing.finding import Told, found_in
from bioxedge.importing.labels import Columns, Table, read_table
from bioxedge.importing.planning import Plan, Planned, plan
from bioxedge.importing.writing import write

__all__ = [
    "Columns",
    "Plan",
    "Planned",
    "Table",
    "Told",
    "found_in",
    "plan",
    "read_table",
    "write",
]
