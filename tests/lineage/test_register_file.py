"""A register file is read line by line, strictly, and what is wrong with it is said without quoting it."""

from __future__ import annotations

import io

import pytest

from lineage.errors import WrongUsage
from lineage.register_file import MAX_LINE_BYTES, RegisterLine, read_register
from lineage.subjects import SubjectEntry

NAME, MAIL = SubjectEntry("C-1", "name", "Maren Oduya"), SubjectEntry("C-1", "email", "maren@example.org")


def read(content: bytes | str) -> list[RegisterLine]:
    return list(read_register(io.BytesIO(content.encode() if isinstance(content, str) else content)))


@pytest.mark.parametrize(
    "content",
    [
        "subject,kind,value\nC-1,name,Maren Oduya\nC-1,email,maren@example.org\n",
        "value,subject,kind\nMaren Oduya,C-1,name\nmaren@example.org,C-1,email",
        "\ufeffsubject,kind,value\r\nC-1, name,Maren Oduya\r\n\r\nC-1,email,maren@example.org\r\n",
        '"subject","kind","value"\n"C-1","name","Maren Oduya"\n"C-1","email","maren@example.org"\n',
        "subject,name,email,phone,account\nC-1,Maren Oduya,maren@example.org,,\n",
        "email,subject,name\nmaren@example.org,C-1,Maren Oduya\n",
    ],
    ids=["as shown", "other order", "BOM, CRLF, blank line, space", "quoted", "wide", "wide, some columns"],
)
def test_the_same_people_in_every_form_that_is_taken(content: str) -> None:
    assert [entry for line in read(content) for entry in line.entries] == [NAME, MAIL]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("Maren Oduya,maren@example.org,C-1\n", "has no header"),
        ("subject;kind;value\nC-1;name;Maren Oduya\n", "separated by semicolons"),
        ("subject\tkind\tvalue\n", "separated by tabs"),
        ("subject,kind,kind\n", "names a column twice"),
        ("kind,value\n", "no column subject"),
        ("subject\n", "other columns"),
        ("subject,kind,value,Maren Oduya\n", "other columns"),
        ("subject,name,value\n", "other columns"),
        ("Subject,Kind,Value\n", "no header"),
        ("subject,kind,value\n".encode("utf-16"), "is not UTF-8"),
        ("subject,kind,valué\n".encode("latin-1"), "is not UTF-8"),
        ('"subject,kind\n', "not valid CSV"),
    ],
)
def test_what_is_no_header_is_named_and_not_quoted(content: bytes | str, sentence: str) -> None:
    with pytest.raises(WrongUsage, match=sentence) as refusal:
        read(content)
    assert "Maren" not in f"{refusal.value}{refusal.value.hint}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"C-1,name", "The line has 2 cells and the header 3."),
        (b"C-1,name,Maren,Oduya", "The line has 4 cells and the header 3."),
        ("C-1,name,Maren Odüya".encode("latin-1"), "The line is not UTF-8."),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_the_next_ones_are_read(line: bytes, problem: str) -> None:
    found = read(b"subject,kind,value\nC-1,name,Maren Oduya\n" + line + b"\nC-1,email,maren@example.org\n")
    assert [(one.number, one.problem) for one in found] == [(2, ""), (3, problem), (4, "")]
    assert found[2].entries == (MAIL,)


def test_a_wide_line_without_an_identifier_is_bad() -> None:
    assert read("subject,name,email\nC-1, ,\n")[0].problem == "The line says nothing about its subject."


@pytest.mark.parametrize("line", ['C-1,name,"Maren "Oduya', 'C-1,name,"Maren', "C-1,name," + "x" * MAX_LINE_BYTES])
def test_nothing_is_read_after_a_line_that_has_no_end(line: str) -> None:
    found = read(f"subject,kind,value\nC-1,name,Maren Oduya\n{line}\nC-2,name,Nobody Else\n")
    assert [(one.number, one.fatal) for one in found] == [(2, False), (3, True)]


def test_a_cell_may_hold_a_line_break_and_numbers_stay_those_of_the_file() -> None:
    found = read('subject,kind,value\nC-1,name,"Maren\nOduya"\nC-1,name\n')
    assert [one.number for one in found] == [2, 4]
    assert found[0].entries == (SubjectEntry("C-1", "name", "Maren\nOduya"),)


def test_no_repr_holds_a_value() -> None:
    assert "Maren" not in repr(read("subject,kind,value\nC-1,name,Maren Oduya\n"))
