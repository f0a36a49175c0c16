"""The two transformers of STATE, LLaMA- and GPT-2-shaped, as torch modules with the parameter names of `transformers`.

STATE attends over a set of cells without positions, so both reduce to pre-norm residual blocks. Its LLaMA attends in
both directions. Its GPT-2 is meant to, but the causal mask of `transformers` stays in force (arc-state 0.11.1 with
transformers 4.52.4; with 5 it cannot be built at all), and what it computes is what its weights were trained for.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu


class RMSNorm(nn.Module):
    """x / rms(x) * weight, (..., width)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise the last axis."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def _rotate(x: torch.Tensor, theta: float) -> torch.Tensor:
    # rotary positions, used only by checkpoints with one-directional attention
    half = x.shape[-1] // 2
    frequency = theta ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class _LlamaAttention(nn.Module):
    """Grouped-query attention over the cells of a set."""

    def __init__(
        self, width: int, heads: int, kv_heads: int, head_dim: int, bidirectional: bool, theta: float, bias: bool
    ):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.bidirectional, self.theta = (
            heads,
            kv_heads,
            head_dim,
            bidirectional,
            theta,
        )
        self.q_proj = nn.Linear(width, heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(heads * head_dim, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, set, width) to the same shape."""
        batch, size, _ = x.shape

        def split(y: torch.Tensor, heads: int) -> torch.Tensor:
            return y.view(batch, size, heads, self.head_dim).transpose(1, 2)

        q, k, v = (
            split(self.q_proj(x), self.heads),
            split(self.k_proj(x), self.kv_heads),
            split(self.v_proj(x), self.kv_heads),
        )
        if not self.bidirectional:
            q, k = _rotate(q, self.theta), _rotate(k, self.theta)
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v))
        out = scaled_dot_product_attention(q, k, v, is_causal=not self.bidirectional)
        return self.o_proj(out.transpose(1, 2).reshape(batch, size, -1))


class _LlamaMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int, bias: bool):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=bias), nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., width) to the same shape."""
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class _LlamaBlock(nn.Module):
    """Attention and feed-forward, each behind a norm and a residual."""

    def __init__(self, width: int, inner: int, eps: float, mlp_bias: bool, **attention: object):
        super().__init__()
        self.self_attn = _LlamaAttention(width, **attention)  # type: ignore[arg-type]
        self.mlp = _LlamaMLP(width, inner, mlp_bias)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(width, eps), RMSNorm(width, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, set, width) to the same shape."""
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """The LLaMA stack on embeddings (batch, set, width)."""

    def __init__(self, config: dict):
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        eps = config.get("rms_norm_eps", 1e-6)
        self.embed_tokens = nn.Embedding(config.get("vocab_size", 32000), width)
        self.embed_tokens.weight.requires_grad_(False).zero_()
        self.layers = nn.ModuleList(
            _LlamaBlock(
                width,
                config["intermediate_size"],
                eps,
                bool(config.get("mlp_bias", False)),
                heads=heads,
                kv_heads=config.get("num_key_value_heads") or heads,
                head_dim=config.get("head_dim") or width // heads,
                bidirectional=bool(config.get("bidirectional_attention", False)),
                theta=float(config.get("rope_theta", 10000.0)),
                bias=bool(config.get("attention_bias", False)),
            )
            for _ in range(config["num_hidden_layers"])
        )
        self.norm = RMSNorm(width, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, set, width) to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Conv1D(nn.Module):
    """A linear layer whose weight is stored (in, out), as GPT-2 has it."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.empty(inputs, outputs).normal_(std=0.02)),
            nn.Parameter(torch.zeros(outputs)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        return x @ self.weight + self.bias


class _GPT2Attention(nn.Module):
    """Multi-head causal attention with one fused projection."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.c_attn, self.c_proj = heads, Conv1D(width, 3 * width), Conv1D(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, set, width) to the same shape."""
        batch, size, width = x.shape
        q, k, v = (y.view(batch, size, self.heads, -1).transpose(1, 2) for y in self.c_attn(x).split(width, 2))
        return self.c_proj(
            scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, size, width)
        )


class _GPT2MLP(nn.Module):
    """c_proj(gelu(c_fc(x))), tanh form."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(width, inner), Conv1D(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., width) to the same shape."""
        return self.c_proj(gelu(self.c_fc(x), approximate="tanh"))


class _GPT2Block(nn.Module):
    """Attention and feed-forward, each behind a layer norm and a residual."""

    def __init__(self, width: int, inner: int, heads: int, eps: float):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attn, self.mlp = _GPT2Attention(width, heads), _GPT2MLP(width, inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, set, width) to the same shape."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """The GPT-2 stack on embeddings (batch, set, width); its position embeddings are zero in STATE."""

    def __init__(self, config: dict):
        super().__init__()
        width = config.get("n_embd", 768)
        eps, inner = config.get("layer_norm_epsilon", 1e-5), config.get("n_inner") or 4 * width
        self.wte = nn.Embedding(config.get("vocab_size", 50257), width)
        self.wpe = nn.Embedding(config.get("n_positions", 1024), width)
        for table in (self.wte, self.wpe):
            table.weight.requires_grad_(False).zero_()
        self.h = nn.ModuleList(
            _GPT2Block(width, inner, config.get("n_head", 12), eps) for _ in range(config.get("n_layer", 12))
        )
        self.ln_f = nn.LayerNorm(width, eps)

    @property
    def layers(self) -> nn.ModuleList:
        """The blocks, first to last."""
        return self.h

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, set, width) to the same shape."""
        x = x + self.wpe.weight[: x.shape[1]]
        for layer in self.h:
            x = layer(x)
        return self.ln_f(x)
