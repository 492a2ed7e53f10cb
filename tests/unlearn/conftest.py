from __future__ import annotations

import pytest
from small_base import write_small_base
from transformers import AutoTokenizer

from unlearn.base import Base, BaseSpec, load_base
from unlearn.tiny_base import TINY_BASE


@pytest.fixture(scope="session")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_BASE)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    return write_small_base(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_base(small_folder) -> Base:
    return load_base(BaseSpec(str(small_folder)))
