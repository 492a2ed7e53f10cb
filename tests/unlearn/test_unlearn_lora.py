"""The training LoRA computes what PEFT computes; only its dropout mask is drawn otherwise."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from unlearn.lora import LoraLinear

RANK, ALPHA = 3, 8


class One(torch.nn.Module):
    """A model of one layer, for PEFT to inject into."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer


def layer_of(kind: str, dtype: torch.dtype) -> torch.nn.Module:
    torch.manual_seed(3)
    layer = Conv1D(5, 7) if kind == "conv1d" else torch.nn.Linear(7, 5)
    return layer.to(dtype).requires_grad_(False)


def ours_and_pefts(kind: str, dtype: torch.dtype) -> tuple[LoraLinear, torch.nn.Module]:
    """The same base layer and the same A and B, once in each implementation; dropout off."""
    ours = LoraLinear(layer_of(kind, dtype), rank=RANK, alpha=ALPHA, dropout=0.0)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["layer"], fan_in_fan_out=kind == "conv1d")
    theirs = inject_adapter_in_model(config, One(layer_of(kind, dtype))).layer
    torch.manual_seed(4)
    for mine, other in ((ours.lora_A, theirs.lora_A["default"].weight), (ours.lora_B, theirs.lora_B["default"].weight)):
        other.data = other.data.float()
        mine.data.normal_()
        other.data.copy_(mine.data)
    return ours, theirs


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_peft(kind, dtype) -> None:
    ours, theirs = ours_and_pefts(kind, dtype)
    found = []
    for module, parameters in ((ours, (ours.lora_A, ours.lora_B)), (theirs, (theirs.lora_A["default"].weight, theirs.lora_B["default"].weight))):  # fmt: skip
        x = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(5)).to(dtype).requires_grad_()
        out = module(x)
        out.float().square().sum().backward()
        found.append([out.detach().float(), x.grad.float(), *(p.grad for p in parameters)])
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 5e-2}
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, **tolerance)


def test_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    layer = LoraLinear(layer_of("linear", torch.float32), rank=RANK, alpha=ALPHA, dropout=0.25)
    layer.lora_A.data.fill_(1.0)
    layer.lora_B.data.fill_(1.0)
    torch.manual_seed(1)
    x = torch.ones(20_000, 7)
    branch = (layer(x) - layer.base_layer(x))[:, 0] / (ALPHA / RANK * RANK)  # what is left of the seven ones, rescaled
    assert branch.mean().item() == pytest.approx(7, rel=0.01)
    kept = branch * 0.75 / 7
    assert kept.mean().item() == pytest.approx(0.75, rel=0.01)
    assert (kept * 7).round().unique().numel() > 4, "each value is drawn for itself"


def test_dropout_uses_the_same_mask_backward_and_the_same_after_the_same_seed() -> None:
    layer = LoraLinear(layer_of("linear", torch.float32), rank=RANK, alpha=ALPHA, dropout=0.5)
    layer.lora_A.data.normal_(generator=torch.Generator().manual_seed(1))
    layer.lora_B.data.normal_(generator=torch.Generator().manual_seed(2))

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(9)
        x = torch.ones(6, 7, requires_grad=True)
        out = layer(x)
        out.sum().backward()
        return out.detach(), x.grad

    (out, grad), (again, grad_again) = run(), run()
    assert torch.equal(out, again)
    assert torch.equal(grad, grad_again)
    # The function is linear in x for a fixed mask, so what the gradient says must give the output back.
    bias = layer.base_layer.bias.sum()
    torch.testing.assert_close((grad * torch.ones(6, 7)).sum(1) + bias, out.sum(1), rtol=1e-5, atol=1e-5)


def test_without_training_there_is_no_dropout() -> None:
    layer = LoraLinear(layer_of("linear", torch.float32), rank=RANK, alpha=ALPHA, dropout=0.5).eval()
    layer.lora_A.data.normal_()
    layer.lora_B.data.normal_()
    x = torch.randn(3, 7)
    expected = layer.base_layer(x) + linear(linear(x, layer.lora_A), layer.lora_B) * ALPHA / RANK
    torch.testing.assert_close(layer(x), expected)
