"""The command, for ``python -m bioxedge`` and ``torchrun -m bioxedge``."""

from bioxedge.cli import main

main()
