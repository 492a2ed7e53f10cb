"""The exact average of shard adapters as one standard PEFT adapter, or the shards side by side.

A LoRA adds (alpha / r) B A to a weight. The average over S shards is

    1/S sum_i (alpha / r) B_i A_i  =  (alpha / (S r)) [B_1 ... B_S] [A_1; ...; A_S],

so the A's stacked along the rank and the B's beside each other, with rank S r and an unchanged alpha, *are* the average:
the weights 1/S sit in alpha / (S r), no number is rounded, and every shard's tensors stand in the result byte for byte.
(PEFT's "cat" scales A instead, to the same product; its "linear" has cross terms B_i A_j and is never used.) A missing
shard leaves a block of zeros: it counts as zero, and the weights of the others stay 1/S.

Nothing here subtracts. An adapter without a shard is composed anew from the shards that stay: a difference of rounded
numbers would keep a trace of what was taken away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from safetensors.torch import load, save

from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from unlearn.adapters import CONFIG_FILE, WEIGHTS_FILE, config_bytes
from unlearn.draw import framed

__all__ = [
    "SHARDS_FILE", "ComposedAdapter", "compose", "dense_deltas", "files_digest", "is_average", "self_test", "side_by_side",
]  # fmt: skip

# All that PEFT's LoraConfig may say while B A keeps its meaning. Whatever else is switched on makes the concatenation
# something other than the average (rslora, DoRA, trained biases: peft issue 3761), also what a later PEFT will add.
HARMLESS = frozenset((
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "r",
    "target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "fan_in_fan_out", "layers_to_transform",
    "layers_pattern", "megatron_core", "qalora_group_size", "runtime_config",
))  # fmt: skip
PLAIN = {
    "bias": "none",
    "init_lora_weights": True,
}  # harmless with this value only: some initialisations change the base
SHARDS_FILE = "shards.json"


@dataclass(frozen=True)
class ComposedAdapter:
    """The files of a PEFT directory, or of one a shard, and SHA-256 over their framed names and bytes."""

    digest: str
    files: Mapping[str, bytes] = field(repr=False)


def compose(parts: Mapping[int, Mapping[str, bytes]], *, shards: int) -> ComposedAdapter:
    """The average over `shards` shards of the PEFT directories in `parts`, in the order of the shard numbers.

    Raises:
        NotAcceptable: `self_test` failed.
        RefusedByRule: a part uses rslora, lora_bias, DoRA or anything else whose average is not a concatenation.
        WrongUsage: no part, a number outside 0 to shards - 1, or parts of different configurations.
    """
    self_test()
    return _average(parts, shards=shards)


def side_by_side(parts: Mapping[int, Mapping[str, bytes]], *, shards: int) -> ComposedAdapter:
    """The shards as they are, a standard PEFT directory each (`s00/`, `s01/`, ...), for serving shards or tenants apart.

    `shards.json` says how many shards the plan has and which folders are there; a missing shard has none.

    Raises:
        WrongUsage: no part, or a number outside 0 to shards - 1.
    """
    _require_shards(parts, shards)
    folders = {shard: f"s{shard:02d}" for shard in sorted(parts)}
    summary = {"shards": shards, "folders": list(folders.values())}
    files = {f"{folders[shard]}/{name}": content for shard in folders for name, content in parts[shard].items()}
    files[SHARDS_FILE] = (json.dumps(summary, indent=2, sort_keys=True) + "\n").encode()
    return ComposedAdapter(files_digest(files), files)


def _require_shards(parts: Mapping[int, object], shards: int) -> None:
    if not parts or not set(parts) <= set(range(shards)):
        raise WrongUsage(
            "There is no shard left to compose." if not parts else "A shard number lies outside the plan.",
            hint="Without any shard the base model alone is in service.",
        )


def _average(parts: Mapping[int, Mapping[str, bytes]], *, shards: int) -> ComposedAdapter:
    _require_shards(parts, shards)
    config = _common_config([parts[shard] for shard in sorted(parts)])
    tensors = {shard: load(files[WEIGHTS_FILE]) for shard, files in parts.items()}
    like = tensors[min(parts)]
    if any({n: t.shape for n, t in own.items()} != {n: t.shape for n, t in like.items()} for own in tensors.values()):
        raise WrongUsage("The shards have tensors of different shapes.", hint="They were trained from different bases.")
    weights = {name: _concatenate(name, like[name], tensors, shards) for name in sorted(like)}
    files = {
        CONFIG_FILE: config_bytes(config | {"r": config["r"] * shards}),
        WEIGHTS_FILE: save(weights, metadata={"format": "pt"}),
    }
    return ComposedAdapter(files_digest(files), files)


def files_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the framed names and bytes of files, sorted by name."""
    return hashlib.sha256(b"".join(framed(name, files[name]) for name in sorted(files))).hexdigest()


def self_test() -> None:
    """Check on small random adapters, in a millisecond, that one composes to itself and that three equal the dense average.

    Raises:
        NotAcceptable: they do not, so no adapter may be released.
    """
    parts = {shard: _random_adapter(shard) for shard in range(3)}
    if _average({0: parts[0]}, shards=1).files[WEIGHTS_FILE] != parts[0][WEIGHTS_FILE]:
        raise NotAcceptable(
            "One adapter does not compose to itself.", hint="Check the versions of torch and safetensors."
        )
    if not is_average(list(parts.values()), _average(parts, shards=3).files, shards=3):
        raise NotAcceptable(
            "A composed adapter is not the average.", hint="Check the versions of torch and safetensors."
        )


def is_average(parts: Sequence[Mapping[str, bytes]], composed: Mapping[str, bytes], *, shards: int) -> bool:
    """Does the composed adapter add the same as the dense average? Both are float64 sums of the same float32 products."""
    deltas, average = [dense_deltas(part) for part in parts], dense_deltas(composed)
    return all(torch.allclose(sum(d[n] for d in deltas) / shards, average[n], rtol=1e-9, atol=1e-12) for n in average)


def dense_deltas(files: Mapping[str, bytes]) -> dict[str, torch.Tensor]:
    """What an adapter adds to each weight, (alpha / r) B A, in float64, by module name."""
    config, tensors = json.loads(files[CONFIG_FILE]), load(files[WEIGHTS_FILE])
    names = [name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")]
    scale = config["lora_alpha"] / config["r"]
    return {n: tensors[f"{n}.lora_B.weight"].double() @ tensors[f"{n}.lora_A.weight"].double() * scale for n in names}


def _concatenate(
    name: str, like: torch.Tensor, tensors: Mapping[int, Mapping[str, torch.Tensor]], shards: int
) -> torch.Tensor:
    """A (r, in) along its rows, B (out, r) along its columns, zeros for a missing shard."""
    blocks = [tensors[shard][name] if shard in tensors else torch.zeros_like(like) for shard in range(shards)]
    return torch.cat(blocks, dim=0 if ".lora_A." in name else 1).contiguous()


def _common_config(parts: list[Mapping[str, bytes]]) -> dict[str, object]:
    configs = [json.loads(files[CONFIG_FILE]) for files in parts]
    for config in configs:
        plain = {**PLAIN, **config}
        odd = [n for n, v in plain.items() if (v != PLAIN[n] if n in PLAIN else v and n not in HARMLESS)]
        if odd:
            raise RefusedByRule(
                f"An adapter with {odd[0]} = {plain[odd[0]]!r} cannot be averaged exactly.",
                hint="Train plain LoRA adapters.",
            )
    if any(config != configs[0] for config in configs):
        raise WrongUsage("The shards have different adapter configurations.", hint="Train them under one plan.")
    return configs[0]


def _random_adapter(seed: int) -> dict[str, bytes]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"m.lora_A.weight": (4, 6), "m.lora_B.weight": (5, 4)}
    tensors = {name: torch.empty(shape).normal_(generator=generator) for name, shape in shapes.items()}
    config = config_bytes({"r": 4, "lora_alpha": 8})
    return {CONFIG_FILE: config, WEIGHTS_FILE: save(tensors, metadata={"format": "pt"})}
