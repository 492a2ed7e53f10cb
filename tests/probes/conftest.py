from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent))

import world as tiny_world


@pytest.fixture(scope="session")
def tokenizer():
    return AutoTokenizer.from_pretrained(tiny_world.BASE)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> tiny_world.World:
    """Eight adapters, trained once per session."""
    return tiny_world.build(tmp_path_factory.mktemp("world"))
