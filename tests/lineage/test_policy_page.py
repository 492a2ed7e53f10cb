"""docs/policy.md describes every field of the policy as it is, and its whole example is a policy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from lineage.policy import Policy, load_policy
from lineage.policy_complaints import _models_in

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
FIELD_TABLE = PAGE.split("## Fields")[1].split("\n## ")[0]
ROWS = {
    cells[0].strip("`"): cells[1:]
    for cells in ([c.strip() for c in line.strip("|").split("|")] for line in FIELD_TABLE.splitlines())
    if cells[0].startswith("`")
}


def fields(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, object]]:
    """Every setting by its dotted name, TYPE standing for an entity type or a language, with its default (else ...)."""
    for name, field in model.model_fields.items():
        inner = next(_models_in(field.annotation), None)
        if inner is None:
            required = field.is_required() or field.default_factory is not None
            yield before + name, ... if required else field.default
        else:
            yield from fields(inner, f"{before}{name}.{'TYPE.' if 'dict' in str(field.annotation) else ''}")


FIELDS = dict(fields(Policy))


def test_the_walk_finds_the_nested_ones():
    assert {"name", "phone.regions", "art9.words", "entities.TYPE.constant"} <= set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_type_default_example_meaning_and_price(name):
    assert name in ROWS, f"docs/policy.md does not describe {name}"
    cells = ROWS[name]
    assert len(cells) == 5, f"{name}: type, default, example, meaning, what a stricter value costs"
    assert all(cells)


@pytest.mark.parametrize("name", [name for name, default in FIELDS.items() if default not in (None, ...)])
def test_defaults_on_the_page_are_the_real_ones(name):
    default = FIELDS[name]
    plain = list(default) if isinstance(default, tuple) else default
    assert ROWS[name][1].strip("`") == json.dumps(plain)


def test_the_example_is_a_policy(tmp_path):
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "policy.toml"
    path.write_text(example)
    assert load_policy(path).name == "clinic"
    assert load_policy(path).constant("EMAIL_ADDRESS") == "[EMAIL]"


REQUIRED = {
    "": {"name": '"x"'},
    "phone": {"regions": '["GB"]', "context": '["x"]'},
    "languages.TYPE.phone": {"regions": '["DE"]', "context": '["x"]'},
    "entities.TYPE": {"action": '"allow"'},
}
STANDS_FOR = {"entities.TYPE": "entities.URL", "languages.TYPE": "languages.de"}


@pytest.mark.parametrize(
    "name", [n for n in FIELDS if n not in ("name", "entities.TYPE.constant", "entities.TYPE.operator", "art9.words")]
)
def test_examples_on_the_page_are_allowed(name, tmp_path):
    """Each example, put into the smallest policy that can hold it, loads."""
    table, _, key = name.rpartition(".")
    tables = {"": {}, "phone": {}, "entities.TYPE": {}, table: {}} | (
        {"languages.TYPE.phone": {}} if table.startswith("languages") else {}
    )
    text = ""
    for place in sorted(tables):
        values = REQUIRED.get(place, {}) | ({key: ROWS[name][2].strip("`")} if place == table else {})
        shown = place
        for general, one in STANDS_FOR.items():
            shown = shown.replace(general, one)
        text += f"[{shown}]\n" * bool(place) + "".join(f"{k} = {value}\n" for k, value in values.items())
    path = tmp_path / "policy.toml"
    path.write_text(text)
    load_policy(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("min_score = 0.35", "min_scor = 0.35"), r"min_scor \(line \d+\): unknown key; did you mean min_score\?"),
        (('on_error = "quarantine"', 'on_error = "allow"'), r"on_error \(line \d+\): .*'quarantine' or 'block'"),
        (('[entities.URL]\naction = "allow"', '[entities.URL]\naction = "alow"'), r"entities\.URL\.action \(line \d+\): .*'allow'"),
        (('[entities.URL]\naction = "allow"', "[entities.URL]"), r"entities\.URL\.action \(line \d+\): Field required"),
        (("enabled = true", "zzz = true"), r"art9\.zzz \(line \d+\): unknown key; known are action, enabled, lexicon, words"),
    ],
)  # fmt: skip
def test_a_complaint_names_key_line_and_what_is_allowed(tmp_path, change, said):
    from lineage.errors import WrongUsage
    from lineage.policy import shipped_text

    text = shipped_text("default")
    assert change[0] in text
    path = tmp_path / "policy.toml"
    path.write_text(text.replace(*change, 1))
    with pytest.raises(WrongUsage) as caught:
        load_policy(path)
    assert re.search(said, caught.value.hint), caught.value.hint
