"""What people read of a certificate: only what was verified, all of it, its limits first, and the same bytes every time."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import fields, is_dataclass, replace
from datetime import date, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from certificate_world import DPO, FACTS, PIPELINE, PROBE, REQUEST, STRANGER, SUBJECT_FILES, write_keys
from click.testing import CliRunner

from lineage import facts as f
from lineage.certificate import build_statement, sign, sign_first
from lineage.errors import NotAcceptable
from lineage.rendering import Sheet, read_sheet
from lineage.rendering_pages import to_html, to_text
from lineage.rendering_pdf import SUBSTITUTED, to_pdf
from lineage.trusted import TrustedKeys

TRUSTED = TrustedKeys(PIPELINE.public_key(), DPO.public_key())
STATEMENT = build_statement(FACTS, SUBJECT_FILES)
CERTIFICATE, HALF = sign(STATEMENT, PIPELINE, DPO), sign_first(STATEMENT, PIPELINE)
LIMITS = ("Says nothing about copies outside the listed stores.", "A <b>bold</b> limit & another.")


def sheet_of(facts: f.CertificateFacts = FACTS) -> Sheet:
    return read_sheet(sign(build_statement(facts, SUBJECT_FILES), PIPELINE, DPO), trusted=TRUSTED)


def page(sheet: Sheet) -> str:
    return to_html(sheet).decode()


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html.split("</style>")[1])).split())


@pytest.mark.parametrize(
    "raw",
    [
        sign(STATEMENT, PIPELINE, STRANGER),
        sign_first(STATEMENT, STRANGER),
        CERTIFICATE.replace(b"A", b"B", 1),
        CERTIFICATE + b"\n",
        HALF + b"\n",
        STATEMENT,
        b"",
    ],
    ids=["a stranger for the DPO", "a stranger's half", "a changed byte", "a byte more", "a half with a byte more",
         "the bare statement", "nothing"],
)  # fmt: skip
def test_nothing_is_shown_of_what_does_not_verify(raw: bytes) -> None:
    with pytest.raises(NotAcceptable):
        read_sheet(raw, trusted=TRUSTED)


def test_what_waits_for_the_dpo_says_so_loudly_everywhere() -> None:
    half = read_sheet(HALF, trusted=TRUSTED)
    assert half.standing == "half-signed"
    assert [role for role, _ in half.keys] == ["pipeline"], "no key of a DPO stands under it"
    assert 'class="unsigned">NOT A CERTIFICATE.' in page(half)
    assert to_text(half).splitlines()[1].startswith("NOT A CERTIFICATE.")
    assert "NOT A CERTIFICATE" not in page(sheet_of()) + to_text(sheet_of())
    assert b"not signed by the DPO" in to_pdf(half), "in the metadata, which is not compressed"
    assert b"not signed by the DPO" not in to_pdf(sheet_of())


def drawn(pdf: bytes) -> list[bytes]:
    """What is drawn on each page; ASCII letters of the font keep their codes."""
    streams = re.findall(rb"/Filter \[ /ASCII85Decode /FlateDecode \].*?stream\n(.*?)endstream", pdf, re.DOTALL)
    return [zlib.decompress(base64.a85decode(stream.strip().removesuffix(b"~>"))) for stream in streams]


def test_every_printed_page_of_what_is_not_signed_says_so() -> None:
    """Pages get separated."""
    half, whole = drawn(to_pdf(read_sheet(HALF, trusted=TRUSTED))), drawn(to_pdf(sheet_of()))
    assert len(half) == len(whole) > 1
    assert all(b"NOT A CERTIFICATE: not signed by the DPO" in page for page in half)
    assert not any(b"NOT A CERTIFICATE" in page for page in whole)


def test_the_limits_of_the_claim_stand_on_top_word_for_word() -> None:
    for said in (
        to_text(sheet_of(replace(FACTS, limits=LIMITS))),
        words(page(sheet_of(replace(FACTS, limits=LIMITS)))),
    ):
        top = said.split("The request")[0]
        assert "What this does not prove" in top
        assert all(" ".join(limit.split()) in " ".join(top.split()) for limit in LIMITS)


NOT_SHOWN = {  # whose place is the file: hashes that only a program compares, and numbers that a sentence of the page repeats
    "digests", "nodes", "leaves", "leaf", "index", "path", "absent", "left", "right", "parent", "root",
    "environment_fingerprint", "final_state_digest", "known", "lit_before", "lit_after", "p_before", "p_after", "rank", "rank_of",
    "extra_out_adapters", "stage",
}  # fmt: skip


def told(value: object, name: str = "") -> list[str]:
    """Every value of the facts as a page would spell it, but for the fields that are not shown."""
    if name in NOT_SHOWN or value is None or isinstance(value, bool):
        return []
    if isinstance(value, tuple):
        return [text for item in value for text in told(item, name)]
    if is_dataclass(value):
        return [text for field in fields(value) for text in told(getattr(value, field.name), field.name)]
    return [spelled(value)]


def spelled(value: object) -> str:
    match value:
        case datetime():
            return f"{value.day} {value:%B %Y}, {value:%H:%M} UTC"
        case date():
            return f"{value.day} {value:%B %Y}"
        case str() if re.fullmatch(r"[0-9a-f]{64}", value):
            return value[:12]
    return str(value)


WORDED = {"erase": "erased", "state": "training states", "record_key": "keys of records"}


def test_every_fact_stands_on_the_page() -> None:
    facts = replace(FACTS, request=replace(REQUEST, extended=True, extension_reasons="Many records.", paused_days=17))
    said = words(page(sheet_of(facts)))
    assert [text for text in told(facts) if WORDED.get(text, text) not in said] == []
    assert all(sha in said for sha in SUBJECT_FILES.values())


def test_the_digests_that_people_compare_stand_whole() -> None:
    said = words(page(sheet_of()))
    change = FACTS.adapters[0]
    for digest in (FACTS.preview.digest, FACTS.purge.digest, change.old_digest, change.new_digest, PROBE.report_digest,
                   FACTS.ledger.digest, sheet_of().digest):  # fmt: skip
        assert digest in said


class Resources(HTMLParser):
    """Whatever a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = {"src", "href", "srcset", "action", "data"} & {name for name, _ in attrs}
        if loads or tag in {"script", "link", "img", "iframe", "object"} or any(n.startswith("on") for n, _ in attrs):
            self.found.append(tag)


def test_the_page_needs_nothing_but_itself_and_escapes_every_text() -> None:
    html = page(sheet_of(replace(FACTS, limits=LIMITS, controller='<img src="x">')))
    parser = Resources()
    parser.feed(html)
    assert parser.found == []
    assert "url(" not in html
    assert "@import" not in html
    assert "A &lt;b&gt;bold&lt;/b&gt; limit &amp; another." in html


def test_the_same_certificate_gives_the_same_bytes() -> None:
    first, second = sheet_of(), sheet_of()
    assert (to_html(first), to_pdf(first)) == (to_html(second), to_pdf(second))
    assert to_pdf(first).startswith(b"%PDF-")


def test_a_letter_that_the_pdf_has_no_sign_for_is_written_as_its_number_and_said() -> None:
    from lineage import rendering_pdf

    greek = sheet_of(replace(FACTS, controller="Ελλάς <Ltd>"))
    made = rendering_pdf._Page(400.0)
    assert made.known("Zoë ł") == "Zoë ł"
    assert SUBSTITUTED not in [item.text for item in made.story(sheet_of()) if hasattr(item, "text")]
    paper = rendering_pdf._Page(400.0)
    shown = [item.text for item in paper.story(greek) if hasattr(item, "text")]
    assert "U+0395U+03BBU+03BBU+03ACU+03C2 &lt;Ltd&gt;" in shown
    assert shown[-1] == SUBSTITUTED
    assert to_pdf(greek)


def test_a_pdf_of_a_thousand_records_and_the_longest_sentences_has_room() -> None:
    many = tuple(f.RecordDecision(record=f"{n:012x}", decision="keep", ground="Art. 17(3)(b)") for n in range(1000))
    long = "word " * 399 + "end"
    kept = tuple(f.Kept(what=long, legal_basis="x" * 2000, retention=long) for _ in range(2))
    sheet = sheet_of(replace(FACTS, decisions=FACTS.decisions + many, kept=kept, limits=(long,)))
    assert to_pdf(sheet)


FIRST, SECOND = replace(PROBE, stage=1, verdict="FAIL"), replace(PROBE, stage=2, out_adapters=26, extra_out_adapters=19)


@pytest.mark.parametrize(
    ("probes", "tone"),
    [
        ((PROBE,), "PASS"), ((replace(PROBE, verdict="FAIL"),), "FAIL"), ((), "INCONCLUSIVE"), ((FIRST, SECOND), "PASS"),
        ((PROBE, replace(PROBE, level="shard 4", verdict="INCONCLUSIVE")), "INCONCLUSIVE"),
        ((PROBE, replace(PROBE, level="shard 4", verdict="FAIL")), "FAIL"),
    ],
)  # fmt: skip
def test_the_worst_verdict_that_decides_stands_on_top(probes: tuple[f.Probe, ...], tone: str) -> None:
    sheet = sheet_of(replace(FACTS, probes=probes))
    assert sheet.tone == tone
    assert f'<span class="word">{tone}</span>' in page(sheet)
    assert ("No probe judged" in sheet.verdict) == (not probes)


def test_a_list_with_nothing_in_it_says_so() -> None:
    bare = sheet_of(replace(FACTS, derived_files=(), backups=(), to_be_told=()))
    assert [s.note for s in bare.sections if s.title in ("Backups", "To be told")] == ["None.", "None."]


def test_the_command_writes_what_it_verified_and_nothing_else(tmp_path: Path) -> None:
    from pipelines.cli.certificate import certificate_group

    keys = write_keys(tmp_path)
    (tmp_path / "good.json").write_bytes(CERTIFICATE)
    (tmp_path / "bad.json").write_bytes(sign(STATEMENT, PIPELINE, STRANGER))

    def run(name: str, *more: str):
        return CliRunner().invoke(certificate_group, ["show", str(tmp_path / name), "--keys", str(keys), *more])

    pages = ["--html", str(tmp_path / "out.html"), "--pdf", str(tmp_path / "out.pdf")]
    refused = run("bad.json", *pages)
    assert isinstance(refused.exception, NotAcceptable)
    assert not (tmp_path / "out.html").exists()
    assert run("good.json", *pages).exit_code == 0
    assert (tmp_path / "out.html").read_bytes() == to_html(sheet_of())
    assert (tmp_path / "out.pdf").read_bytes() == to_pdf(sheet_of())
    assert run("good.json").output == to_text(sheet_of())
    assert json.loads(run("good.json", "--json").output)["limits"] == list(FACTS.limits)
