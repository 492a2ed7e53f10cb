"""The embedded base model: a 0.4 M parameter Llama with its own tokenizer, made from generated text without any person.

It is the default base of the demo and of the tests, and goes through the same code as any other causal LM. How it was
made stands in `unlearn.tiny_base.make`; `python -m unlearn.tiny_base.make --out DIR` makes another one.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["TINY_BASE"]

TINY_BASE: Path = Path(__file__).parent
"""Folder that `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` load."""
