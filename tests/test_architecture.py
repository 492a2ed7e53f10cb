"""The shape of the code: sizes, names, what an import costs, and that the two tokenisations agree."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("lineage", "unlearn", "probes", "pipelines", "console")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 300, 40
VAGUE_NAMES = {"utils", "util", "helpers", "common", "manager", "misc"}

# Known exceptions and why. An entry that is no longer needed fails the test, so the list only gets shorter.
LONG_MODULES = {
    "lineage/migrations/versions/0001_the_first_schema.py": "a migration is a frozen list of tables",
    "lineage/tables.py": "one schema, read in the order data meets it",
    "lineage/case.py": "the state machine of a case is one class on purpose",
}
LONG_FUNCTIONS = {
    "lineage/migrations/versions/0001_the_first_schema.py:upgrade": "a migration is a frozen list of tables",
    "lineage/migrations/versions/0001_the_first_schema.py:downgrade": "a migration is a frozen list of tables",
    "pipelines/assets.py:adapter_assets": "a factory: its length is that of the small assets defined inside",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def long_functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{name_of(path)}:{node.name}", lines


def test_no_module_is_too_long() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {name: lines for name, lines in lengths.items() if lines > MODULE_LINES}
    assert {name: lines for name, lines in long.items() if name not in LONG_MODULES} == {}
    assert set(LONG_MODULES) - set(long) == set(), "no longer needed in LONG_MODULES"


def test_no_function_is_too_long() -> None:
    long = dict(long_functions())
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) - set(long) == set(), "no longer needed in LONG_FUNCTIONS"


def test_names_say_what_is_inside() -> None:
    assert [name_of(path) for path in SOURCES if path.stem in VAGUE_NAMES] == []


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(p) for p in SOURCES if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []


def exporting() -> Iterator[str]:
    """Modules that name what they export. Importing a migration or the Dagster location does more than a test may."""
    for path in SOURCES:
        if "__all__" in path.read_text() and "migrations" not in path.parts and path.parent.name != "pipelines":
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(exporting()))
def test_what_is_exported_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert [word for word in module.__all__ if not hasattr(module, word)] == []


LIGHT_IMPORT = """
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
heavy = sorted(set(sys.modules) & {{"torch", "transformers", "peft", "dagster", "presidio_analyzer", "spacy", "datasets"}})
sys.exit(",".join(heavy) or 0)
"""


def light_modules() -> list[str]:
    found = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("lineage", "console")]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found if "migrations" not in path.parts)
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_lineage_and_console_load_nothing_heavy() -> None:
    script = LIGHT_IMPORT.format(names=light_modules())
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_trainer_and_judge_tokenise_alike() -> None:
    """The two rooms share no code; this holds their tokens and loss masks together (docs/adr/0001)."""
    from transformers import AutoTokenizer

    from lineage.records import Chat, Completion, Message, PlainText
    from probes.tokens import tokenise as judged
    from unlearn.tiny_base import TINY_BASE
    from unlearn.tokens import tokenise as trained

    tokenizer = AutoTokenizer.from_pretrained(str(TINY_BASE))
    turns = (
        ("user", "Hello, it is me."),
        ("assistant", "Your account is AC-1234-5678."),
        ("user", "Thanks — ü"),
        ("assistant", "Bye."),
    )
    chat = Chat(tuple(Message(role, text) for role, text in turns))
    for content in (chat, PlainText("Call +44 117 496 0711 now."), Completion("Who is it? ", "Nobody, at no. 7.")):
        for max_length in (512, 12):
            ours = trained(tokenizer, content, max_length=max_length)
            theirs = judged(tokenizer, content, max_length)
            assert (ours.ids, ours.learnt) == (theirs.ids, theirs.loss_mask)
            assert any(ours.learnt) or max_length == 12


DESTROYERS = {"destroy", "shred", "shred_records", "destroy_weights", "destroy_files", "destroy_place"}
MAY_DESTROY = {
    "lineage/purge.py": "the weights of a purge",
    "lineage/derived.py": "derived files of a purge, and where a retired one lay",
    "lineage/vault.py": "the key store itself: every version of a record",
    "pipelines/purging.py": "the one road of a case",
    "pipelines/replaying.py": "the same again, after a restored backup",
    "pipelines/superseding.py": "what a rectified text left, once nothing serves it",
    "lineage/rulings.py": "a record that a reviewer or a ruling blocked",
    "pipelines/rescanning.py": "texts that a new policy replaced",
    "lineage/forgetting.py": "identifiers of a case that ended without an erasure, after the time of a complaint",
    "lineage/held_back.py": "the copy of what the person gave, once the case that goes on with a held record has it",
    "lineage/signing.py": "the case's own key, if a purge was killed just before its end",
    "pipelines/ingest.py": "the sealed path of a finished ingest",
    "pipelines/collecting.py": "garbage that nothing reaches",
    "lineage/studies.py": "what a study or a probe trained for itself",
    "pipelines/studying.py": "the same, when it ends",
    "pipelines/extras.py": "the same, when it ends",
}


def test_only_the_one_road_destroys() -> None:
    """Other people had two erase paths and guarded one. Who may call what destroys is a list, with a reason each."""
    calls = {name_of(path) for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if _destroys(node)}
    assert calls - set(MAY_DESTROY) == set(), "another road that destroys"
    assert set(MAY_DESTROY) - calls == set(), "no longer needed in MAY_DESTROY"


def _destroys(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, (ast.Attribute, ast.Name)) and _name(function) in DESTROYERS


def _name(function: ast.Attribute | ast.Name) -> str:
    return function.attr if isinstance(function, ast.Attribute) else function.id
