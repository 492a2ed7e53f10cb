"""Reading corpora: four formats, one meaning; a bad row is a reject, a bad file is the caller's mistake."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage import tabular
from lineage.corpus import Reject, RejectReason, RowDefaults, open_corpus, write_rejects
from lineage.errors import WrongUsage
from lineage.records import Chat, Completion, Message, PlainText, RawRecord
from lineage.rows import RowReader

DEFAULTS = RowDefaults(purpose="support", lawful_basis="contract", language="en")
CHAT = [{"role": "user", "content": "Hi, it's me"}, {"role": "assistant", "content": 'Hello, "you"'}]
ROWS = [
    {"text": "A text, with commas\nand lines.", "subjects": ["a@example.com"], "id": "r1", "source": "mail"},
    {"prompt": "Who?", "completion": "You.", "subjects": [], "parents": ["r1"]},
    {"messages": CHAT, "subjects": ["a@example.com", "C-17"], "language": "de"},
    {"text": "no subjects given"},
    {"text": "  ", "subjects": ["a"]},
    {"messages": CHAT[:1], "subjects": ["a"]},
    {"messages": [{"role": "narrator", "content": "x"}], "subjects": ["a"]},
    {"text": "two", "messages": CHAT, "subjects": ["a"]},
    {"subjects": ["a"]},
    {"prompt": "only", "subjects": ["a"]},
]
COLUMNS = ["text", "prompt", "completion", "messages", "subjects", "id", "source", "parents", "language"]
EXPECTED = [
    RawRecord(1, PlainText(ROWS[0]["text"]), "r1", ("a@example.com",), "mail", "support", "contract", "en"),
    RawRecord(2, Completion("Who?", "You."), None, (), "chats", "support", "contract", "en", ("r1",)),
    RawRecord(
        3,
        Chat(tuple(Message(**turn) for turn in CHAT)),
        None,
        ("a@example.com", "C-17"),
        "chats",
        "support",
        "contract",
        "de",
    ),
    Reject(4, RejectReason.NO_SUBJECTS),
    Reject(5, RejectReason.EMPTY_CONTENT),
    Reject(6, RejectReason.NO_ASSISTANT_TURN),
    Reject(7, RejectReason.UNKNOWN_ROLE),
    Reject(8, RejectReason.SEVERAL_CONTENTS),
    Reject(9, RejectReason.NO_CONTENT),
    Reject(10, RejectReason.NO_CONTENT),
]


def as_jsonl(folder: Path) -> Path:
    path = folder / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def as_csv(folder: Path) -> Path:
    path = folder / "c.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in ROWS)
    return path


def as_parquet(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "c.parquet"
    pq.write_table(pa.Table.from_pylist([{c: row.get(c) for c in COLUMNS} for row in ROWS]), path)
    return path


def as_folder(folder: Path) -> Path:
    import datasets

    path = folder / "c"
    datasets.Dataset.from_list([{c: row.get(c) for c in COLUMNS} for row in ROWS]).save_to_disk(str(path))
    return path


def read(path, **kwargs):
    return list(open_corpus(path, source="chats", defaults=DEFAULTS, **kwargs))


def numbered(items):
    return [replace(item, line=i) for i, item in enumerate(items, start=1)]


@pytest.mark.parametrize("write", [as_jsonl, as_csv, as_parquet, as_folder])
def test_every_format_means_the_same(tmp_path, write):
    assert numbered(read(write(tmp_path))) == EXPECTED


def test_lines_are_those_of_the_file(tmp_path):
    assert [item.line for item in read(as_jsonl(tmp_path))] == list(range(1, 11))
    # The first CSV record starts below the header and holds a line break.
    assert [item.line for item in read(as_csv(tmp_path))][:3] == [2, 4, 5]


def test_a_datasets_folder_is_not_copied_into_a_cache(tmp_path):
    path = as_folder(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    read(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_bytes_and_bad_json_are_single_rejects(tmp_path):
    good = b'{"text": "ok", "subjects": []}\n'
    path = tmp_path / "c.jsonl"
    rows = [b"\xef\xbb\xbf" + good, b'{"text": "\xff", "subjects": []}\n', b"{\n", b"\n", b"[1]\n", good.strip()]
    rows += [b'\n{"text": "\\ud800", "subjects": []}\n', b"[" * 100_000 + b"\n", good]
    path.write_bytes(b"".join(rows))
    reasons = {item.line: getattr(item, "reason", "good") for item in read(path)}
    assert reasons == {
        1: "good",
        2: RejectReason.NOT_UTF8,
        3: RejectReason.NOT_JSON,
        5: RejectReason.NOT_AN_OBJECT,
        6: "good",
        7: RejectReason.NOT_UTF8,
        8: RejectReason.NOT_JSON,
        9: "good",
    }


def test_oversize_rows_are_rejected_without_being_held(tmp_path, monkeypatch):
    monkeypatch.setattr(tabular, "MAX_ROW_BYTES", 50)
    path = tmp_path / "c.jsonl"
    good = '{"text": "ok", "subjects": []}\n'
    path.write_text(good + '{"text": "' + "x" * 500 + '", "subjects": []}\n' + good, encoding="utf-8")
    assert [getattr(item, "reason", "good") for item in read(path)] == ["good", RejectReason.TOO_LARGE, "good"]


def test_csv_rows_fail_one_by_one(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(b'text,subjects\nok,a\n\nok\nb\xffd,a\nok,"a"b\n"quoted ""text""",[]\n')
    assert [(item.line, getattr(item, "reason", "good")) for item in read(path)] == [
        (2, "good"),
        (4, RejectReason.WRONG_COLUMN_COUNT),
        (5, RejectReason.NOT_UTF8),
        (6, RejectReason.NOT_CSV),
        (7, "good"),
    ]


@pytest.mark.parametrize("name", ["c.jsonl", "c.csv", "c.parquet", "c.txt", "nothing.jsonl"])
@pytest.mark.parametrize("body", [b"", b"\n\n", b"text,subjects\n"])
def test_what_holds_no_rows_is_wrong_usage(tmp_path, name, body):
    if name != "nothing.jsonl":
        (tmp_path / name).write_bytes(body)
    if name == "c.jsonl" and body.startswith(b"text"):
        assert read(tmp_path / name) == [Reject(1, RejectReason.NOT_JSON)]
        return
    with pytest.raises(WrongUsage):
        read(tmp_path / name)


def test_unknown_column_stops_before_the_first_row_and_is_a_reject_later(tmp_path):
    first, later = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text('{"text": "x", "subjects": [], "colour": "red"}\n', encoding="utf-8")
    later.write_text(
        '{"text": "x", "subjects": []}\n{"text": "x", "subjects": [], "colour": "red"}\n', encoding="utf-8"
    )
    with pytest.raises(WrongUsage, match="colour") as caught:
        read(first)
    assert "red" not in str(caught.value) + caught.value.hint
    assert "--subject-column" in caught.value.hint
    assert read(later)[1] == Reject(2, RejectReason.UNKNOWN_COLUMN)


def test_a_file_without_header_does_not_print_its_first_row(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("My name is Jane,jane@example.com\nx,y\n", encoding="utf-8")
    with pytest.raises(WrongUsage) as caught:
        read(path)
    assert "jane" not in (str(caught.value) + caught.value.hint).lower()


def test_the_subject_column_can_be_named(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("text,customer\nx,4821\n", encoding="utf-8")
    assert [item.subjects for item in read(path, subject_column="customer")] == [("4821",)]
    for wrong in ("subjects", "text"):
        with pytest.raises(WrongUsage):
            read(path, subject_column=wrong)


def test_total_rows_is_exact_for_tables_and_close_for_text(tmp_path):
    def total(path):
        return open_corpus(path, source="s", defaults=DEFAULTS).total_rows

    assert total(as_parquet(tmp_path)) == total(as_folder(tmp_path)) == total(as_jsonl(tmp_path)) == 10
    long = tmp_path / "long.jsonl"
    long.write_text('{"text": "x", "subjects": []}\n' * 20_000, encoding="utf-8")
    assert abs(total(long) - 20_000) < 100


def test_the_rejects_file_is_private_and_holds_line_and_reason_only(tmp_path):
    rejects = [item for item in read(as_jsonl(tmp_path)) if isinstance(item, Reject)]
    target = tmp_path / "rejects.jsonl"
    assert write_rejects(target, rejects) == len(rejects) == 7
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"line", "reason"}] * 7
    assert lines[0] == {"line": 4, "reason": RejectReason.NO_SUBJECTS.value}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*COLUMNS, "other"]), VALUES, max_size=6))
def test_any_row_is_a_record_or_a_reject(fields):
    item = RowReader("s", DEFAULTS).read(1, fields)
    assert isinstance(item, (RawRecord, Reject))
    if isinstance(item, RawRecord):
        assert all(segment.encode() is not None for segment in item.content.segments())
        assert all(item.subjects)


def test_records_show_no_content():
    assert "Hello" not in repr(EXPECTED)
    assert "a@example.com" not in repr(EXPECTED)
