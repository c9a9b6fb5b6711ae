"""From files that people have to sessions that a recipe can name: found, planned, written.

Nothing is trained and nothing is guessed in silence: what a file does not say is told with an
option, and every assumption is a remark.
"""

from bioxedge.importing.finding import Told, found_in
from bioxedge.importing.labels import Table
from bioxedge.importing.planning import Plan, Planned, plan
from bioxedge.importing.tables import Columns, read_table
from bioxedge.importing.writing import Outcome, missing, write

__all__ = [
    "Columns",
    "Outcome",
    "Plan",
    "Planned",
    "Table",
    "Told",
    "found_in",
    "missing",
    "plan",
    "read_table",
    "write",
]
