"""A base of one narrow layer with random weights and the embedded tokenizer: an optimizer step takes a millisecond or two."""

from __future__ import annotations

import shutil
from pathlib import Path

from unlearn.tiny_base import TINY_BASE


def write_small_base(folder: Path) -> Path:
    """A folder that `base_model` may name; the same bytes every time."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(TINY_BASE)), hidden_size=16, intermediate_size=24,
        num_hidden_layers=1, num_attention_heads=2, tie_word_embeddings=True, max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY_BASE / name, folder / name)
    return folder
