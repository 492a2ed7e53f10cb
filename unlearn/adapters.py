"""The only doorway to peft: a LoRA inside the base for training, and PEFT directories as plain bytes.

While training, all LoRA tensors are views into one flat float32 vector, in the sorted order of their names, and so are
their gradients. The optimizer then sees a single tensor, and a shard is swapped in by copying a vector.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import load, save
from transformers.pytorch_utils import Conv1D

from lineage.errors import NotAcceptable, WrongUsage
from unlearn.base import Base
from unlearn.determinism import seed_for
from unlearn.lora import LoraLinear
from unlearn.plan import Plan

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "Lora", "adapter_files", "attach", "initial_weights", "write_adapter"]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."  # what PEFT puts before a module's name in a file
FAN_IN_FAN_OUT = "fan_in_fan_out"


@dataclass(frozen=True)
class Lora:
    """The LoRA attached to a base. `flat` (n,) holds every value, `flat.grad` (n,) every gradient."""

    flat: torch.nn.Parameter = field(repr=False)
    views: Mapping[str, torch.Tensor] = field(repr=False)
    conv1d: bool

    def load(self, weights: bytes) -> None:
        """Put the weights of a state in place.

        Raises:
            NotAcceptable: they belong to another base or another plan.
        """
        tensors = load(weights)
        if {name: t.shape for name, t in tensors.items()} != {name: v.shape for name, v in self.views.items()}:
            raise NotAcceptable("The state does not fit this base model and plan.", hint="Train from the beginning.")
        with torch.no_grad():
            for name, view in self.views.items():
                view.copy_(tensors[name])

    def weights(self) -> bytes:
        """The weights of a state: deterministic safetensors bytes under PEFT's names."""
        return _save_state({name: view.detach().clone().cpu() for name, view in self.views.items()}, conv1d=self.conv1d)


def attach(base: Base, plan: Plan) -> Lora:
    """Put the plan's LoRA into the base, replacing one of another plan.

    Raises:
        WrongUsage: the target modules are not in the base, or the base is held in another precision.
    """
    if (base.spec.dtype, base.spec.attention) != (plan.dtype, plan.attention):
        raise WrongUsage(
            "The base was not loaded as the plan says.", hint="Load it with unlearn.base.base_spec(plan, ...)."
        )
    model, targets = base.model, _targets(base.model, plan)
    conv1d = _are_conv1d(model, targets)
    _put(model, plan, targets)
    return _flatten(model, conv1d=conv1d)


def initial_weights(lora: Lora, key: bytes, *, shard: int | None) -> bytes:
    """A fresh LoRA for a shard (None: the trunk): A uniform in +-1/sqrt(fan in) as PEFT draws it, B zero (LoRA, 2106.09685)."""
    tensors = {name: torch.zeros(view.shape) for name, view in lora.views.items()}
    for name, tensor in tensors.items():
        if ".lora_A." in name:
            seed = seed_for(key, "init", "trunk" if shard is None else shard, name)
            bound = 1 / math.sqrt(tensor.shape[1])
            tensor.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))
    return _save_state(tensors, conv1d=lora.conv1d)


def adapter_files(weights: bytes, plan: Plan, *, base_name: str, revision: str = "") -> dict[str, bytes]:
    """A standard PEFT directory of a state, as file names and bytes; needs no base model.

    `base_name` is written down as given in the configuration and should not be a path of this machine.
    """
    tensors = load(weights)
    targets = sorted({name.split(".lora_")[0].rpartition(".")[2] for name in tensors})
    config = _config(plan, targets, fan_in_fan_out=_conv1d_of(weights))
    config.base_model_name_or_path = base_name
    config.revision = revision or None
    config.inference_mode = True
    return {CONFIG_FILE: config_bytes(config.to_dict()), WEIGHTS_FILE: save(tensors, metadata={"format": "pt"})}


def write_adapter(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a PEFT directory, the configuration last: without it nobody takes the directory for an adapter."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(files.items(), key=lambda file: file[0] == CONFIG_FILE):
        (directory / name).write_bytes(content)


def config_bytes(fields: Mapping[str, object]) -> bytes:
    """The bytes of an adapter_config.json; sets are sorted."""
    plain = {name: sorted(value) if isinstance(value, set) else value for name, value in fields.items()}
    return (json.dumps(plain, indent=2, sort_keys=True) + "\n").encode()


def _config(plan: Plan, targets: list[str], *, fan_in_fan_out: bool) -> LoraConfig:
    return LoraConfig(
        r=plan.lora_r,
        lora_alpha=plan.lora_alpha,
        lora_dropout=plan.lora_dropout,
        target_modules=targets,
        fan_in_fan_out=fan_in_fan_out,
        task_type="CAUSAL_LM",
    )


def _targets(model: torch.nn.Module, plan: Plan) -> list[str]:
    """The names of the plan's target modules, sorted; found in the architecture if the plan names none."""
    head = model.get_output_embeddings()
    linear = {
        name.removesuffix(".base_layer").rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head and ".lora_" not in name
    }
    missing = sorted(set(plan.target_modules) - linear)
    if missing or not linear:
        raise WrongUsage(
            f"The base model has no linear layer called {', '.join(missing) or 'anything'}.",
            hint=f"target_modules may name: {', '.join(sorted(linear)) or 'nothing here'}.",
        )
    return sorted(plan.target_modules or linear)


def _are_conv1d(model: torch.nn.Module, targets: list[str]) -> bool:
    """Whether the targets store their weight as (in, out), as GPT-2 does."""
    found = {
        isinstance(module, Conv1D)
        for name, module in model.named_modules()
        if name.removesuffix(".base_layer").rpartition(".")[2] in targets
        and isinstance(module, torch.nn.Linear | Conv1D)
    }
    if len(found) > 1:
        raise WrongUsage("The target modules mix two kinds of linear layers.", hint="Name target_modules of one kind.")
    return found == {True}


def _lora_layers(model: torch.nn.Module) -> list[tuple[str, LoraLinear]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLinear)]


def _put(model: torch.nn.Module, plan: Plan, targets: list[str]) -> None:
    """A LoRA of this plan beside every target, in place of whatever stood there."""
    for name, layer in _lora_layers(model):
        model.set_submodule(name, layer.base_layer)
    head = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, torch.nn.Linear | Conv1D) and layer is not head and name.rpartition(".")[2] in targets:
            lora = LoraLinear(layer, rank=plan.lora_r, alpha=plan.lora_alpha, dropout=plan.lora_dropout)
            model.set_submodule(name, lora)


def _flatten(model: torch.nn.Module, *, conv1d: bool) -> Lora:
    """Move all LoRA parameters, and their gradients, into one vector each."""
    parameters = {
        f"{PREFIX}{name}.{part}.weight": getattr(layer, part)
        for name, layer in _lora_layers(model)
        for part in ("lora_A", "lora_B")
    }
    names = sorted(parameters)
    device = parameters[names[0]].device
    flat = torch.nn.Parameter(torch.zeros(sum(parameters[name].numel() for name in names), device=device))
    flat.grad = torch.zeros_like(flat)
    views, start = {}, 0
    for name in names:
        parameter, end = parameters[name], start + parameters[name].numel()
        parameter.data = flat.data[start:end].view(parameter.shape)
        parameter.grad = flat.grad[start:end].view(parameter.shape)
        views[name], start = parameter.data, end
    return Lora(flat, views, conv1d)


def _save_state(tensors: Mapping[str, torch.Tensor], *, conv1d: bool) -> bytes:
    # One metadata key only: safetensors writes several in a random order.
    return save(dict(tensors), metadata={FAN_IN_FAN_OUT: json.dumps(conv1d)})


def _conv1d_of(weights: bytes) -> bool:
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    return header.get("__metadata__", {}).get(FAN_IN_FAN_OUT) == "true"
