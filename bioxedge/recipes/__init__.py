"""A recipe: the TOML file that says how one bundle is built. Choices, never algorithms.

Decoded strictly: an unknown key, a missing one or a value out of bounds is one line that names
the path. Everything has a default that serves, except what only the author can know.
"""

from bioxedge.recipes.checks import quality_in
from bioxedge.recipes.data import ROLES, Align, Data, Picked, Split, Teacher
from bioxedge.recipes.parts import (
    Bridge,
    Compute,
    Head,
    Model,
    Sensor,
    Side,
    Variants,
)
from bioxedge.recipes.reading import read
from bioxedge.recipes.recipe import Recipe, section
from bioxedge.recipes.task import Other, Task

__all__ = [
    "ROLES",
    "Align",
    "Bridge",
    "Compute",
    "Data",
    "Head",
    "Model",
    "Other",
    "Picked",
    "Recipe",
    "Sensor",
    "Side",
    "Split",
    "Task",
    "Teacher",
    "Variants",
    "quality_in",
    "read",
    "section",
]
