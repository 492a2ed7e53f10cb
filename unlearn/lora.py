"""A LoRA beside one linear layer, made for training: y = W x + s B A drop(x), with s = alpha / r (LoRA, 2106.09685, eq. 3).

PEFT computes the same out of five separate layers. On a small model their overhead is a third of a step, so here the
branch is one autograd node that scales where the rank is small, adds in place, and draws its dropout sixteen bits at a
time. Any linear layer may stand in the middle; it keeps its own forward and backward. That the numbers agree with PEFT
is a test, and what is saved are PEFT's two matrices under PEFT's names.
"""

from __future__ import annotations

import torch
from torch.autograd.function import FunctionCtx
from transformers.pytorch_utils import Conv1D

__all__ = ["LoraLinear"]

BITS = 16  # of random numbers per value; a dropout rate is rounded to a multiple of 2**-16


class LoraLinear(torch.nn.Module):
    """A frozen linear layer with a trainable float32 LoRA: `lora_A` (r, in) and `lora_B` (out, r)."""

    def __init__(self, base_layer: torch.nn.Linear | Conv1D, *, rank: int, alpha: int, dropout: float) -> None:
        super().__init__()
        rows, columns = base_layer.weight.shape
        fan_out, fan_in = (columns, rows) if isinstance(base_layer, Conv1D) else (rows, columns)
        device = base_layer.weight.device
        self.base_layer = base_layer
        self.lora_A = torch.nn.Parameter(torch.zeros(rank, fan_in, device=device))
        self.lora_B = torch.nn.Parameter(torch.zeros(fan_out, rank, device=device))
        self.settings = (rank, alpha, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) to (..., out), in the precision of the base layer."""
        rank, alpha, dropout = self.settings
        dropped = _dropped(x, dropout) if self.training and dropout else None
        scale = alpha / rank if dropped is None else alpha / rank / (1 - dropout)
        return _Branch.apply(self.base_layer(x), x, self.lora_A, self.lora_B, dropped, scale)


def _dropped(x: torch.Tensor, dropout: float) -> torch.Tensor:
    """Which values of x count as zero, each with probability `dropout`, from the generator of x's device."""
    bits = torch.empty(-(-x.numel() * BITS // 64), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    threshold = round(dropout * 2**BITS) - 2 ** (BITS - 1)
    return bits.view(torch.int16)[: x.numel()].view(x.shape) < threshold


class _Branch(torch.autograd.Function):
    """y + scale drop(x) A^T B^T, added into y itself."""

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd passes every input by position
        ctx: FunctionCtx, y: torch.Tensor, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
        dropped: torch.Tensor | None, scale: float,
    ) -> torch.Tensor:  # fmt: skip
        seen = (x.float() if dropped is None else x.float().masked_fill(dropped, 0.0)).flatten(0, -2)
        inner = torch.mm(seen, a.t()).mul_(scale)
        ctx.save_for_backward(seen, inner, a, b, dropped)
        ctx.scale, ctx.precision = scale, x.dtype
        ctx.mark_dirty(y)
        flat = y.view(-1, y.shape[-1])  # a view or an error, never a copy: what is added must arrive in y
        flat.addmm_(inner, b.t()) if y.dtype == inner.dtype else flat.add_(torch.mm(inner, b.t()))
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        seen, inner, a, b, dropped = ctx.saved_tensors
        flat = grad.float().flatten(0, -2)
        at_inner = torch.mm(flat, b).mul_(ctx.scale)
        grad_x = None
        if ctx.needs_input_grad[1]:
            grad_x = torch.mm(at_inner, a).view(*grad.shape[:-1], a.shape[1])
            grad_x = (grad_x if dropped is None else grad_x.masked_fill_(dropped, 0.0)).to(ctx.precision)
        return grad, grad_x, torch.mm(at_inner.t(), seen), torch.mm(flat.t(), inner), None, None
