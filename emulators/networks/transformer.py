"""Blocks of a transformer that attends within windows and across them in turn.

One transformer is ``x <- x + D(A(N(x)));  x <- x + D(M(N(x)))`` with layer normalization N
(epsilon 1e-5), multi-head attention A, ``M = W_2 gelu(W_1 x)`` and stochastic depth D (Huang et al.
2016, doi:10.1007/978-3-319-46493-0_39), which is the identity in evaluation. Tokens have shape
``[batch, window, token, E]``; transformers 0, 2, 4, .. attend among the tokens of a window, 1, 3,
5, .. among the tokens of all windows at the same place in it (Schmude et al. 2024,
arXiv:2409.13598).

The rows of the one matrix that makes queries, keys and values are sorted by head, ``q k v`` of the
first, then of the second, and so on: that is how published weights lie.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint


class MultiheadAttention(nn.Module):
    """Attention along the axis before the last; no mask."""

    def __init__(self, features: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.qkv_layer = nn.Linear(features, 3 * features, bias=False)
        self.w_layer = nn.Linear(features, features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape [batch, group, token, E] to the same."""
        batch, group, token, features = x.shape
        qkv = self.qkv_layer(x).reshape(batch * group, token, self.n_heads, -1).transpose(1, 2)
        q, k, v = qkv.chunk(3, dim=-1)
        dropout = self.dropout if self.training else 0.0
        found = scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        y: Tensor = self.w_layer(found.transpose(1, 2).reshape(batch, group, token, features))
        return y


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, features),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape [..., E] to the same."""
        y: Tensor = self.net(x)
        return y


class DropPath(nn.Module):
    """Leaves a branch out, sample by sample, with probability `rate` while training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`x`, or for some samples 0, so that the expectation stays."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = torch.empty(x.shape[0], *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype)
        return x * keep.bernoulli_(1.0 - self.rate) / (1.0 - self.rate)


class Transformer(nn.Module):
    """See the module."""

    def __init__(
        self, features: int, mlp_multiplier: int, n_heads: int, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.drop_path = DropPath(drop_path)
        self.attention = nn.Sequential(
            nn.LayerNorm(features), MultiheadAttention(features, n_heads, dropout)
        )
        self.ff = nn.Sequential(
            nn.LayerNorm(features), Mlp(features, mlp_multiplier * features, dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape [batch, group, token, E] to the same."""
        x = x + self.drop_path(self.attention(x))
        y: Tensor = x + self.drop_path(self.ff(x))
        return y


class Shifter(nn.Module):
    """Rolls the map of tokens by half a window, and back at the next call.

    Published checkpoints hold two masks under its name that nothing uses; `state_dict` holds
    them too, as False without memory of their own, and loading passes over them.
    """

    def __init__(
        self, windows: tuple[int, int], tokens: tuple[int, int], *, masks: bool = True
    ) -> None:
        """Builds it.

        Args:
            windows: number of windows along latitude and longitude.
            tokens: number of tokens of a window along latitude and longitude.
            masks: whether they are in the state.
        """
        super().__init__()
        self.windows, self.tokens, self.masks = windows, tokens, masks
        self.back = False

    def forward(self, x: Tensor) -> Tensor:
        """Shape [batch, token, window, E] to the same, rolled."""
        batch, _, _, features = x.shape
        (g0, g1), (l0, l1) = self.windows, self.tokens
        # Half a window in tokens, rounded down, as the published shift of (7, 8) for (15, 16).
        by = (l0 // 2, l1 // 2)
        if self.back:
            by = (-by[0], -by[1])
        self.back = not self.back
        grid = x.reshape(batch, l0, l1, g0, g1, features).permute(0, 3, 1, 4, 2, 5)
        grid = grid.reshape(batch, g0 * l0, g1 * l1, features).roll(by, (1, 2))
        grid = grid.reshape(batch, g0, l0, g1, l1, features).permute(0, 2, 4, 1, 3, 5)
        return grid.reshape(x.shape)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        if not self.masks:
            return {}
        windows, tokens = self.windows[0] * self.windows[1], self.tokens[0] * self.tokens[1]
        return {
            "local_mask": (windows, 1, tokens, tokens),
            "global_mask": (tokens, 1, windows, windows),
        }

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, shape in self._shapes().items():
            destination[prefix + name] = torch.zeros(1, dtype=torch.bool).expand(shape)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name in ("local_mask", "global_mask"):
            state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class LocalGlobalLocal(nn.Module):
    """``2 n + 1`` transformers, within windows and across them in turn."""

    def __init__(
        self,
        features: int,
        mlp_multiplier: int,
        n_heads: int,
        dropout: float,
        drop_path: float,
        n_blocks: int,
        *,
        shifter: Shifter | None = None,
        checkpoints: Collection[int] = (),
    ) -> None:
        super().__init__()
        self.transformers = nn.ModuleList(
            Transformer(features, mlp_multiplier, n_heads, dropout, drop_path)
            for _ in range(2 * n_blocks + 1)
        )
        self.shifter = shifter
        self.checkpoints = frozenset(checkpoints)

    def forward(self, x: Tensor, *, complete: bool = True) -> Tensor:
        """Shape [batch, window, token, E] to the same.

        Args:
            x: tokens.
            complete: whether all tokens are there; where some are masked there is no map to roll.
        """
        if self.shifter is not None:
            self.shifter.back = False
        for i, transformer in enumerate(self.transformers):
            if i > 0:
                x = x.transpose(1, 2)
            if i in self.checkpoints and torch.is_grad_enabled():
                x = checkpoint(transformer, x, use_reentrant=False)
            else:
                x = transformer(x)
            if i % 2 and self.shifter is not None and complete:
                x = self.shifter(x)
        return x


class Encoder(nn.Module):
    """The encoder, or the decoder: one `LocalGlobalLocal` under the published name."""

    def __init__(self, lgl_block: LocalGlobalLocal) -> None:
        super().__init__()
        self.lgl_block = lgl_block

    def forward(self, x: Tensor, *, complete: bool = True) -> Tensor:
        """Shape [batch, window, token, E] to the same."""
        y: Tensor = self.lgl_block(x, complete=complete)
        return y
