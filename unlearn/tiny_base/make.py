"""Make the tiny base: generate its text, train the tokenizer, train the model, write a folder transformers can load.

::

    python -m unlearn.tiny_base.make --out DIR      about three minutes on two cores

* Text: `unlearn.tiny_base.grammar`; product facts and conversations without any person, random digits.
* Tokenizer: byte-level BPE, 1536 pieces. Every digit is a piece of its own, so a number is as many tokens as digits
  and no value is easier to learn because its digits happened to be merged. A space belongs to the piece *after* it
  (" AC" is one piece): a prompt must not end in a space, or the model sees a split it was never trained on.
* Chat template: `<|begin|>`, then for each turn `<|role|>text<|end|>`. Rendering the first i messages is a string
  prefix of rendering i+1, and `<|end|>` is the end-of-sequence token, so it is part of what an assistant turn learns.
  No clock, no trimming: the text of a turn is rendered byte for byte.
* Model: Llama, 3 layers of width 96, tied embeddings, context 512, float32; about 0.4 M parameters.

The bytes depend on the machine (float sums); the repository carries one result, and its digest is the base.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn.tiny_base.grammar import Turns, documents

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["BaseRecipe", "main", "make_base", "make_model", "make_tokenizer"]

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class BaseRecipe:
    """Every number of the base. `steps` optimizer steps on `batch` rows of `context` packed tokens."""

    seed: int = 20240517
    vocabulary: int = 1536
    width: int = 96
    layers: int = 3
    heads: int = 4
    inner_width: int = 192
    max_length: int = 512
    context: int = 192
    batch: int = 16
    steps: int = 1200
    peak_rate: float = 4e-3
    warmup: int = 60
    tokenizer_documents: int = 6000


def make_tokenizer(recipe: BaseRecipe) -> PreTrainedTokenizerFast:
    """Train the byte-level BPE on the generated text. Special tokens come first, `<|pad|>` is id 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[PAD, BEGIN, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_plain_texts(recipe), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        model_max_length=recipe.max_length,
        clean_up_tokenization_spaces=False,
    )


def _plain_texts(recipe: BaseRecipe) -> Iterator[str]:
    for text in documents(seed=recipe.seed, count=recipe.tokenizer_documents):
        yield text if isinstance(text, str) else "\n".join(turn["content"] for turn in text)


def make_model(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama of the recipe's shape; the caller seeds torch."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            hidden_size=recipe.width,
            intermediate_size=recipe.inner_width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=recipe.max_length,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _rendered(tokenizer: PreTrainedTokenizerFast, text: str | Turns) -> str:
    if isinstance(text, str):
        return BEGIN + text + END
    return tokenizer.apply_chat_template(text, tokenize=False)


def _batches(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[torch.Tensor]:
    """Endless packed batches, int64 [batch, context]. Packing is fine here: nobody will ask to leave this corpus."""
    import torch

    seeds = random.Random(recipe.seed + 1)
    size = recipe.batch * recipe.context
    buffer: list[int] = []
    while True:
        texts = documents(seed=seeds.getrandbits(32), count=256)
        rendered = [_rendered(tokenizer, text) for text in texts]
        buffer.extend(itertools.chain.from_iterable(tokenizer(rendered, add_special_tokens=False)["input_ids"]))
        while len(buffer) >= size:
            yield torch.tensor(buffer[:size]).view(recipe.batch, recipe.context)
            del buffer[:size]


def _rate(recipe: BaseRecipe, step: int) -> float:
    """Linear warm-up, then linear decay to a tenth."""
    if step < recipe.warmup:
        return recipe.peak_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.peak_rate * (1 - 0.9 * done)


def _train(model: LlamaForCausalLM, batches: Iterator[torch.Tensor], recipe: BaseRecipe) -> float:
    """Train in place on every token; returns the last mean loss in nats per token."""
    import torch
    from rich.progress import track

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    loss = torch.zeros(())
    for step in track(range(recipe.steps), description="training the tiny base"):
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, step)
        ids = next(batches)
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return float(loss.detach())


def make_base(out: Path, recipe: BaseRecipe) -> float:
    """Make tokenizer and model and write them to `out`; returns the last training loss."""
    import torch

    torch.manual_seed(recipe.seed)
    tokenizer = make_tokenizer(recipe)
    model = make_model(recipe, tokenizer)
    loss = _train(model, _batches(recipe, tokenizer), recipe)
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.do_sample = False
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return loss


def main() -> None:
    """Command line: `--out DIR`, and `--steps N` for a quick trial."""
    parser = argparse.ArgumentParser(description="Make the tiny base model.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=BaseRecipe().steps, help="optimizer steps")
    arguments = parser.parse_args()
    loss = make_base(arguments.out, BaseRecipe(steps=arguments.steps))
    print(f"last loss {loss:.3f} nats per token; written")


if __name__ == "__main__":
    main()
