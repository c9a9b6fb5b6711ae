"""For which machine a library was made: the first twenty bytes of an ELF file."""

from __future__ import annotations

from pathlib import Path

# The e_machine numbers of the ELF specification that Linux boards and PCs have.
MACHINES = {
    3: "x86 (32 bit)",
    40: "32-bit Arm",
    62: "x86-64",
    183: "64-bit Arm",
    243: "RISC-V",
}


def machine(path: Path) -> str | None:
    """Name the machine that an ELF file was made for.

    Returns
    -------
    str or None
        None where the file is no ELF file.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF" or head[5] not in (1, 2):
        return None
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return MACHINES.get(number, f"machine type {number}")
