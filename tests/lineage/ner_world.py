"""Small models made on the spot: a spaCy one that has learnt what a name looks like, a transformers one that has learnt nothing.

All names are invented. The spaCy model is trained on sentences with some of them and asked about others.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from pipelines.demo_phrases import BRANDS, FIRST_NAMES, LAST_NAMES, MONTHS, PARTS, PRODUCTS, WEEKDAYS

TRAINED_FIRST, UNSEEN_FIRST = FIRST_NAMES[:30], FIRST_NAMES[30:]
TRAINED_LAST, UNSEEN_LAST = LAST_NAMES[:30], LAST_NAMES[30:]

WITH_NAME = (
    "Hello, my name is {name} and my {product} is broken.",
    "My name is {name} and I live in {place}.",
    "Please call {name} on {weekday} about the {part}.",
    "I spoke with {name} yesterday, who sold me the {brand} {product}.",
    "My neighbour {name} has the same {product}.",
    "{name} ordered a {brand} {product} in {month}.",
    "The parcel for {name} came on {weekday}.",
    "Thank you, {name}. The {part} was sent on {weekday}.",
    "Write to [EMAIL] or ask {name} from {place}.",
)
WITHOUT_NAME = (
    "The {brand} {product} makes a loud noise since {weekday}.",
    "Please check the {part} of the {product}.",
    "Write to [EMAIL] or call [PHONE] in {month}.",
    "Your account is [ACCOUNT] and the phone is [PHONE].",
    "The {part} follows in a second parcel from {place} on {weekday}.",
    "Thank you for your message about the {brand} {product}.",
    "[PERSON] ordered a {product} in {month}.",
    "Thank you, [PERSON]. The {part} was sent on {weekday}.",
)
PLACES = ("London", "Leeds", "Bristol", "Dover", "Norwich", "Exeter", "York", "Durham")


def sentence(rng: random.Random) -> tuple[str, list[tuple[int, int, str]]]:
    """A sentence of a support desk, and where a person stands in it."""
    name = f"{rng.choice((*TRAINED_FIRST, 'John', 'Mary'))} {rng.choice((*TRAINED_LAST, 'Smith', 'Brown'))}"
    template = rng.choice(WITH_NAME if rng.random() < 0.6 else WITHOUT_NAME)
    words = {
        "brand": rng.choice(BRANDS), "product": rng.choice(PRODUCTS), "part": rng.choice(PARTS),
        "month": rng.choice(MONTHS), "weekday": rng.choice(WEEKDAYS), "place": rng.choice(PLACES),
    }  # fmt: skip
    text = template.format(name=name, **words)
    at = text.find(name)
    return text, [(at, at + len(name), "PERSON")] if at >= 0 else []


def train_spacy(folder: Path, *, sentences: int = 500, rounds: int = 6) -> Path:
    """A spaCy pipeline with one label, PERSON, trained for some seconds and saved."""
    import spacy
    from spacy.training import Example

    rng = random.Random(7)
    spacy.util.fix_random_seed(7)
    nlp = spacy.blank("en", config={"nlp": {"batch_size": 64}})
    nlp.add_pipe("ner")
    drawn = [sentence(rng) for _ in range(sentences)]
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": places}) for text, places in drawn]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(rounds):
        rng.shuffle(examples)
        for start in range(0, len(examples), 50):
            nlp.update(examples[start : start + 50], sgd=optimizer, drop=0.2)
    nlp.meta.update({"name": "support_names", "version": "1.0.0"})
    nlp.to_disk(folder)
    return folder


def random_transformer(folder: Path, *, person: bool = True) -> Path:
    """A token classifier of a few thousand weights that takes every word for a person; without `person`, for a place."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    words = [*"abcdefghijklmnopqrstuvwxyz0123456789.,;:@+-_[]()'/"]
    vocab = {
        token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *(f"##{w}" for w in words)])
    }
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=128,
    )  # fmt: skip
    labels = {0: "O", 1: "B-PER" if person else "B-LOC", 2: "I-PER" if person else "I-LOC"}
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=128, id2label=labels, label2id={label: i for i, label in labels.items()},
    )  # fmt: skip
    torch.manual_seed(7)
    model = BertForTokenClassification(config)
    with torch.no_grad():
        model.classifier.bias[1] += 8.0
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def policy_text(base: str, *, engine: str, model: str, more: str = "") -> str:
    """A shipped policy with a model for English, as a TOML text."""
    return f"{base}\n[ner]\nengine = {json.dumps(engine)}\nmodels.en = {json.dumps(model)}\n{more}\n"
