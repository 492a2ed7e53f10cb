"""What people read is true: every command, setting, error, reason and claim has its place, and every link leads somewhere."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest
from command_line import command_tree

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
FORBIDDEN_CLAIMS = re.compile(
    r"\b(GDPR[- ]compliant|fully anonymous|proven? forgotten|guarantee[sd]?)\b", re.IGNORECASE
)


@cache
def page(name: str) -> str:
    """A page of docs/, or of the root."""
    path = DOCS / name
    return (path if path.exists() else ROOT / name).read_text(encoding="utf-8")


TREE = dict(command_tree())


def options(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {name for p in command.params if isinstance(p, click.Option) for name in p.opts if name.startswith("--")}


def sections(text: str) -> dict[str, str]:
    """`### title` -> its text."""
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return {title.strip(): body.split("\n## ")[0] for title, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("words", TREE)
def test_every_command_and_option_is_described(words: str) -> None:
    described = sections(page("commands.md"))
    assert words in described, f"docs/commands.md has no section '### {words}'"
    missing = {name for name in options(TREE[words]) if f"`{name}" not in described[words]}
    assert not missing, f"docs/commands.md, {words}: {sorted(missing)}"
    assert f"\n{words}" in described[words], f"docs/commands.md gives no example of {words}"


@pytest.mark.parametrize("words", TREE)
def test_the_help_of_every_command_shows_an_example(words: str) -> None:
    assert f" {words}" in (TREE[words].help or "").partition("Example")[2]


def test_no_command_is_described_that_does_not_exist() -> None:
    assert set(sections(page("commands.md"))) == set(TREE)


def typed_commands(text: str) -> Iterator[str]:
    """The `lethe ...` lines in the fenced blocks of a page."""
    for block in FENCE.findall(text):
        for line in block.splitlines():
            if line.startswith("lethe ") and "..." not in line.split("#")[0].replace('"...', ""):
                yield line


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_shown_on_a_page_exist(path: Path) -> None:
    for line in typed_commands(path.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        known = next((TREE[" ".join(words[:n])] for n in (4, 3, 2) if " ".join(words[:n]) in TREE), None)
        assert known is not None, f"{path.name}: {line}"
        used = {word for word in words if word.startswith("--")}
        assert used <= options(known), f"{path.name}: {line}"


def test_commands_named_in_the_readme_exist() -> None:
    named = {tuple(found.split()) for found in re.findall(r"`lethe ([a-z]+(?: [a-z]+)?)[` ]", page("README.md"))}
    heads = {tuple(words.split()[1:]) for words in TREE}
    assert named, "the README names no command"
    unknown = {words for words in named if not any(head[: len(words)] == words or head == words[:1] for head in heads)}
    assert not unknown


def test_make_targets_named_on_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {name for path in PAGES for name in re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE)}
    assert named <= targets


def settings_fields() -> Iterator[str]:
    from lineage.settings import (
        AdapterSettings,
        AuditSettings,
        ConsoleSettings,
        ContactSettings,
        DecodingSettings,
        GateSettings,
        ProbeSettings,
        ProcessingSettings,
        PurgeSettings,
        RowSettings,
        Settings,
        StaffSettings,
    )
    from unlearn.plan import TrainSettings

    for section in (
        Settings,
        GateSettings,
        RowSettings,
        ConsoleSettings,
        ContactSettings,
        ProcessingSettings,
        ProbeSettings,
        DecodingSettings,
        AuditSettings,
        PurgeSettings,
        StaffSettings,
        AdapterSettings,
    ):
        yield from section.model_fields
    yield from (field.name for field in fields(TrainSettings))


@pytest.mark.parametrize(
    "name",
    sorted(
        {*settings_fields()}
        - {"gate", "rows", "console", "contact", "processing", "staff", "audit", "purge", "adapters", "workspace"}
    ),
)
def test_every_setting_is_described(name: str) -> None:
    assert f"| `{name}` |" in page("configuration.md")


@pytest.mark.parametrize("name", ["gate", "rows", "console", "contact", "processing", "audit", "purge", "adapters"])
def test_every_section_of_the_settings_is_described(name: str) -> None:
    assert f"## `[{name}" in page("configuration.md")


def test_defaults_in_the_table_of_training_settings_are_the_real_ones() -> None:
    from unlearn.plan import TrainSettings

    def shown(value: object) -> str:
        return {True: "true", False: "false", (): "[]"}.get(value) if isinstance(value, (bool, tuple)) else (
            f'"{value}"' if isinstance(value, str) else str(value))  # fmt: skip

    for field in fields(TrainSettings):
        assert f"| `{field.name}` | `{shown(field.default)}` |" in page("configuration.md"), field.name


def test_every_environment_variable_is_described() -> None:
    sources = [p for room in ROOMS for p in (ROOT / room).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"\bLETHE_[A-Z_]*[A-Z]\b", path.read_text())}
    assert named, "no variable was found, so the search is broken"
    assert {name for name in named if f"`{name}`" not in page("configuration.md")} == set()


ROOMS = ("lineage", "unlearn", "probes", "pipelines", "console")


def tier_fields() -> Iterator[str]:
    from lineage.policy import LanguageRule
    from lineage.tiers import GazetteerRule, NerRule

    for name, model in {"ner": NerRule, "gazetteer": GazetteerRule, "languages.CODE": LanguageRule}.items():
        yield from (f"{name}.{field}" for field in model.model_fields)


@pytest.mark.parametrize("name", list(tier_fields()))
def test_every_field_of_languages_and_models_is_described(name: str) -> None:
    assert f"| `{name}` |" in page("policy-languages.md")


def test_every_error_is_described() -> None:
    from lineage import errors

    for name in errors.__all__:
        assert re.search(rf"\b{name}\b", page("errors.md")), name
        code = getattr(errors, name).exit_code
        assert f"| {code} |" in page("errors.md")


def test_every_reason_of_the_gate_is_explained() -> None:
    from lineage.admit import Reason

    assert {reason for reason in get_args(Reason) if f"| `{reason}` |" not in page("policy.md")} == set()


def codes(path: str) -> set[str]:
    """The words in capitals that a module of verdicts speaks."""
    strings = (node.value for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Constant))
    return {text for text in strings if isinstance(text, str) and re.fullmatch(r"(?=.{4})[A-Z]{2,}(_[A-Z]+)*", text)}


@pytest.mark.parametrize("path", ["probes/verdict.py", "pipelines/judging.py"])
def test_every_verdict_and_reason_is_explained(path: str) -> None:
    assert codes(path) >= {"PASS", "FAIL", "INCONCLUSIVE"}, "the search is broken"
    assert {code for code in codes(path) if not re.search(rf"\b{code}\b", page("dpo-guide.md"))} == set()


def test_every_stage_of_a_case_is_explained() -> None:
    from lineage.stages import Stage

    assert {stage for stage in Stage if f"`{stage.value}`" not in page("dpo-guide.md")} == set()


def test_the_limits_are_the_ones_that_certificates_and_reports_print() -> None:
    from pipelines import certifying
    from probes import sentences

    assert [text for text in (*certifying.LIMITS, *sentences.LIMITS) if f"* {text}\n" not in page("limits.md")] == []


def test_every_claim_names_a_file_that_exists() -> None:
    named = re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", page("claims.md"))
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = (found.split("#")[0] for found in LINK.findall(path.read_text(encoding="utf-8")))
    relative = [found for found in links if found and not re.match(r"[a-z]+:", found)]
    assert [found for found in relative if not (path.parent / found).exists()] == []


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[<>=]", item)[0] for item in wanted}
    assert {
        name
        for name in names
        if not re.search(rf"^\| {re.escape(name)} \| `[^|]+` \| \S", page("dependencies.md"), re.MULTILINE)
    } == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_page_claims_too_much(path: Path) -> None:
    if path.name != "limits.md":  # it names the words in order to refuse them
        assert FORBIDDEN_CLAIMS.findall(path.read_text(encoding="utf-8")) == []


def test_every_decision_has_its_price() -> None:
    decisions = sorted((DOCS / "adr").glob("0*.md"))
    assert [path.name for path in decisions if "**Price.**" not in path.read_text()] == []
    assert [path.name for path in decisions if path.name not in page("adr/README.md")] == []
