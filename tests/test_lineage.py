"""Lineage is declared once and proved: every difference from a parent is told, and every sentence is true."""
from __future__ import annotations

import pytest

from stemma.core import paper as cards
from stemma.core.paper import check_edge

EDGES = [(name, i) for name in cards.names() for i in range(len(cards.get(name).parents))]


@pytest.mark.parametrize("preset", ["paper", "small"])
@pytest.mark.parametrize("name,i", EDGES)
def test_every_difference_is_told_and_every_word_is_true(name: str, i: int, preset: str) -> None:
    card = cards.get(name)
    assert check_edge(card.parents[i], card, preset) == []


@pytest.mark.parametrize("name", cards.names())
def test_the_card_is_filled(name: str) -> None:
    card = cards.get(name)
    assert card.name == name
    assert {"paper", "small"} <= set(card.presets)
    assert len(card.summary) > 80 and card.claims and card.facts and card.notes
    for preset in card.presets:
        card.spec(preset), card.recipe(preset)
    assert all(parent.paper.year <= card.year for parent in card.parents)


def test_a_name_is_found_however_it_is_written() -> None:
    for name in cards.names():
        assert cards.get(name.replace("_", "-").upper()).name == name


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(cards.StemmaError, match="retinanet"):
        cards.get("retina-nett")
