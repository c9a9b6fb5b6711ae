"""Kinds of fields that several sections of a recipe share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from bioxedge.spec import Text

Share = Annotated[float, Meta(gt=0, lt=1)]
Names = Annotated[tuple[Text, ...], Meta(min_length=1)]
Hash = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")]


def names_of(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Give one name or several as several; none for an empty one."""
    if isinstance(value, str):
        return (value,) if value else ()
    return value
