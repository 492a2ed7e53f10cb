"""The report's pictures: each says in words what it shows, and a value is placed among its own candidates."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from matplotlib.axes import Axes

from probes import figures
from probes.figures import exposure_figure, extraction_figure, labelled
from probes.judgement import ModelReading, ValueFacts, ValueReading
from probes.report import _row

RANKED = {"phone": (1, 1000), "date": (40, 165), "house": (9, 10)}


def reading(label, rank=None, of=None, *, hits=0):
    return ValueReading(label, 3, hits, -9.0, None, rank, of, rank / of if rank else None, 1.0, ())


def model(role, *values):
    return ModelReading(f"{role}_0", role, 0, 0, len(values), values, 0, 0.0, None, None, None)


def judgement(*models):
    facts = tuple(ValueFacts(v.label, v.label, v.prompts, 3.0, evidence=True, reason="") for v in models[0].values)
    return SimpleNamespace(values=facts, models=models, counts=SimpleNamespace(shards=1))


@pytest.fixture
def drawn(monkeypatch):
    """The axes of every figure drawn, as they were when it was done."""
    kept, real = [], figures.draw_svg

    def keep(height, draw):
        def both(axes: Axes):
            draw(axes)
            kept.append((height, axes))

        return real(height, both)

    monkeypatch.setattr(figures, "draw_svg", keep)
    return kept


def test_a_value_is_placed_among_its_own_candidates(drawn):
    """Ninth of ten is chance; on an axis "among 1,000" it stood next to the remembered ones."""
    exposure_figure(judgement(model("pre", *(reading(name, *place) for name, place in RANKED.items()))))
    ((_, axes),) = drawn
    assert [x for x, _ in axes.collections[0].get_offsets()] == pytest.approx([0.001, 40 / 165, 0.9])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["phone\nof 1,000", "date\nof 165", "house\nof 10"]
    low, high = axes.get_xlim()
    assert low < 0.001 < figures.BY_CHANCE < 1 < high


def test_few_candidates_leave_the_edge_of_chance_in_sight(drawn):
    exposure_figure(judgement(model("pre", reading("house", 1, 10))))
    low, high = drawn[0][1].get_xlim()
    assert low < figures.BY_CHANCE < 0.1 < high


def test_the_table_says_of_how_many_a_rank_is():
    values = (*(reading(name, *place) for name, place in RANKED.items()), reading("account"))
    assert _row(model("pre", *values), "old shard").exposure == ("1 of 1,000", "40 of 165", "9 of 10")
    assert _row(model("pre", reading("account")), "old shard").exposure == ("–",)


@pytest.mark.parametrize("figure", [extraction_figure, exposure_figure], ids=lambda figure: figure.__name__)
def test_a_value_more_makes_the_picture_higher_and_nothing_smaller(drawn, figure):
    for count in (2, 6):
        values = [reading(f"value {i}", 1, 1000, hits=i % 4) for i in range(count)]
        figure(judgement(*(model(role, *values) for role in figures.ROLE_COLOURS)))
    (low, few), (high, many) = drawn
    assert (high - low) / 4 >= 0.5
    assert len(many.get_yticks()) == 6
    sizes = [text.get_fontsize() for axes in (few, many) for text in (*axes.get_yticklabels(), *axes.texts)]
    assert min(sizes) >= 9


def test_a_picture_says_in_words_what_it_shows():
    svg = extraction_figure(judgement(model("pre", reading("phone"))))
    assert "aria-hidden" not in svg
    said = labelled(svg, 'Does it give "values" away?', "At 0% & <nowhere>.")
    (label,) = re.findall(r'<svg aria-label="([^"]*)" role="img"', said)
    assert label == "Does it give &quot;values&quot; away? At 0% &amp; &lt;nowhere&gt;."
