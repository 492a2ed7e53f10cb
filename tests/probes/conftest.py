from __future__ import annotations

import probe_world
import pytest
from transformers import AutoTokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return AutoTokenizer.from_pretrained(probe_world.BASE)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> probe_world.World:
    """Eight adapters, trained once per session."""
    return probe_world.build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def judged(world):
    """The verdicts that several tests look at, judged once."""
    from probes.judge import judge

    panels = {
        "honest": world.panel(composed=True),
        "old served as new": world.panel(post=world.pre),
        "never trained": world.panel(pre=world.post),
    }
    return {name: judge(probe_world.dossier(), panel, probe_world.protocol()) for name, panel in panels.items()}
