"""What stands between pool and bridge: classic features, and the wearer's baseline."""

from __future__ import annotations

import torch
from torch import Tensor

from bioxedge.spec import FeaturesSpec


def put_together(pooled: Tensor, beside: Tensor, spec: FeaturesSpec) -> tuple[Tensor, Tensor]:
    """Give what goes into the bridge, as a device computes it.

    Parameters
    ----------
    pooled : Tensor of shape [batch, encoder's features]
    beside : Tensor of shape [batch, numbers]
        As :func:`bioxedge.wearer.beside` lays it out.
    spec : FeaturesSpec

    Returns
    -------
    Tensor of shape [batch, features]
        As distances from the wearer's past, where there is a baseline.
    Tensor of shape [batch, features]
        The same, before they are scaled.
    """
    whole = torch.cat([pooled, beside[:, : len(spec.classic)]], dim=1)
    if spec.baseline is None:
        return whole, whole
    mean, inverse = beside[:, len(spec.classic) :].split(spec.count, dim=1)
    clip = spec.baseline.clip
    return ((whole - mean) * inverse).clamp(-clip, clip), whole
