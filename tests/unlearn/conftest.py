from __future__ import annotations

import shutil

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from unlearn.base import Base, BaseSpec, load_base
from unlearn.tiny_base import TINY_BASE


@pytest.fixture(scope="session")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_BASE)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory, tokenizer):
    """A base of one narrow layer with random weights and the embedded tokenizer: steps take a millisecond or two."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True, max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY_BASE / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def small_base(small_folder) -> Base:
    return load_base(BaseSpec(str(small_folder)))
