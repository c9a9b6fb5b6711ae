"""What a machine lacks to run bundles on sensors, each lack with its cure.

Nothing here imports ONNX Runtime or BrainFlow into this process: either may end it.
"""

from bioxedge.measuring.doctor.finding import Finding, Host
from bioxedge.measuring.doctor.report import Report, examine

__all__ = ["Finding", "Host", "Report", "examine"]
