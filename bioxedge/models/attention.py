"""Self-attention written with plain operations, the same in training and evaluation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Take queries, keys and values apart.

    Parameters
    ----------
    qkv : Tensor
        ``[batch, tokens, 3 * features]``: queries, keys and values, each head after head.
    heads : int
        Divides the features.

    Returns
    -------
    tuple of Tensor
        Each ``[batch, heads, tokens, features / heads]``.
    """
    batch, tokens, width = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    return q, k, v


def attention(q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017), scaled by the root of a head's width.

    Parameters
    ----------
    q, k, v : Tensor
        ``[batch, heads, tokens, head]``.
    dropout : float
        Share of the attention weights to drop.

    Returns
    -------
    Tensor
        ``[batch, tokens, heads * head]``, heads joined again.
    """
    batch, heads, tokens, head = q.shape
    joined = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return joined.transpose(1, 2).reshape(batch, tokens, heads * head)


def attend(qkv: Tensor, heads: int, *, dropout: float = 0.0) -> Tensor:
    """Self-attention of ``[batch, tokens, 3 * features]``; see `split_heads` and `attention`."""
    return attention(*split_heads(qkv, heads), dropout=dropout)


class FeedForward(nn.Module):
    """Two linear layers around an exact GELU.

    Parameters
    ----------
    width, inner : int
        Features outside and between the two.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        out: Tensor = self.down(functional.gelu(self.up(h)))
        return out
