"""Self-attention written with plain operations, the same in training and evaluation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def attend(qkv: Tensor, heads: int, *, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product self-attention.

    Parameters
    ----------
    qkv : Tensor
        ``[batch, tokens, 3 * features]``: queries, keys and values, each head after head.
    heads : int
        Divides the features.
    dropout : float
        Share of the attention weights to drop.

    Returns
    -------
    Tensor
        ``[batch, tokens, features]``, heads joined again.
    """
    batch, tokens, width = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    joined = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return joined.transpose(1, 2).reshape(batch, tokens, width // 3)
