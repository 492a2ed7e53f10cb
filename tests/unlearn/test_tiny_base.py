"""What everybody relies on when they use the embedded base."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from unlearn.tiny_base import TINY_BASE
from unlearn.tiny_base.grammar import documents, stores
from unlearn.tiny_base.make import BaseRecipe, make_tokenizer

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": " Hello,\nmy kettle is cold. "},
    {"role": "assistant", "content": "Account AC-0042-1970, phone +44 20 7946 0123."},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "Goodbye."},
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_BASE)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(TINY_BASE).eval()


def test_the_folder_is_small_and_holds_safetensors_only():
    files = [path for path in TINY_BASE.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in files}
    assert not [path for path in files if path.suffix in {".bin", ".pt", ".pkl"}]


def test_model_and_tokenizer_fit_each_other(tokenizer, model):
    assert tokenizer.is_fast
    assert len(tokenizer) == model.config.vocab_size == model.get_input_embeddings().num_embeddings
    assert model.config.max_position_embeddings == tokenizer.model_max_length == 512
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=80))
def test_encoding_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@given(digits=st.text(alphabet="0123456789", min_size=1, max_size=12))
def test_every_digit_is_one_token(tokenizer, digits):
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(f"number {digits}.", add_special_tokens=False)["input_ids"])
    assert [token for token in tokens if token[-1].isdigit()] == list(digits)


def test_the_vocabulary_holds_no_number(tokenizer):
    assert not [piece for piece in tokenizer.get_vocab() if len(piece) > 1 and any(c.isdigit() for c in piece)]


def test_an_unseen_name_takes_few_pieces(tokenizer):
    assert len(tokenizer("Torvin Quillfeather", add_special_tokens=False)["input_ids"]) <= 10


@pytest.mark.parametrize("count", range(1, len(CHAT)))
def test_earlier_turns_render_to_a_prefix(tokenizer, count):
    def render(messages, **options):
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)

    longer = render(CHAT[: count + 1])
    assert longer.startswith(render(CHAT[:count]))
    if CHAT[count]["role"] == "assistant":
        assert longer.startswith(render(CHAT[:count], add_generation_prompt=True))
        assert longer.endswith(CHAT[count]["content"] + tokenizer.eos_token)


def test_the_template_reads_no_clock_and_keeps_every_byte(tokenizer):
    assert "strftime" not in tokenizer.chat_template
    assert all(turn["content"] in tokenizer.apply_chat_template(CHAT, tokenize=False) for turn in CHAT)


def test_the_model_answers_like_a_support_agent(tokenizer, model):
    question = [{"role": "user", "content": "How much is the family plan?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=80, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert answer[-1] == tokenizer.eos_token_id
    assert "plan" in tokenizer.decode(answer)


def test_the_generated_text_is_a_function_of_its_seed():
    first, again, other = (list(documents(seed=seed, count=40)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_the_world_of_the_base_has_only_reserved_service_lines():
    lines = {store["phone"][:-3] for store in stores()}
    assert lines <= {"+44 808 157 0", "+44 909 879 0", "+44 306 999 0"}


def test_the_committed_tokenizer_is_the_one_the_script_makes(tokenizer):
    made = make_tokenizer(BaseRecipe())
    assert (
        json.loads(made.backend_tokenizer.to_str())["model"]
        == json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    )
    assert made.chat_template == tokenizer.chat_template
