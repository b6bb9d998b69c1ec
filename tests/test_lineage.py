"""Lineage is declared once and proved: every difference from a parent is told, and every sentence is true."""
from __future__ import annotations

from dataclasses import replace

import pytest

from stemma.core import paper as cards
from stemma.core.paper import check_edge

EDGES = [(name, i) for name in cards.names() for i in range(len(cards.get(name).parents))]


@pytest.mark.parametrize("preset", ["paper", "small"])
@pytest.mark.parametrize("name,i", EDGES)
def test_every_difference_is_told_and_every_word_is_true(name: str, i: int, preset: str) -> None:
    card = cards.get(name)
    assert check_edge(card.parents[i], card, preset) == []


@pytest.mark.parametrize("name,i", EDGES)
def test_a_sentence_stands_once_and_names_all_its_slots(name: str, i: int) -> None:
    told = cards.get(name).parents[i].told
    assert len({what for _, what in told}) == len(told)
    slots = [s for slots, _ in told for s in slots]
    assert slots and len(set(slots)) == len(slots) and all(isinstance(s, str) for s in slots)


def test_of_several_slots_each_must_differ() -> None:
    child = cards.get("retinanet")
    (edge,) = (e for e in child.parents if e.paper.name == "fpn")
    assert check_edge(edge, child) == []
    held = tuple((s, w) for s, w in edge.told if "rpn" not in s)
    several = ("rpn_head", "rpn", "rpn_levels", "detach_proposals")
    (untrue,) = check_edge(replace(edge, changes=(*held, ((*several, "preprocess"), "no proposals"))), child)
    assert untrue == "told but not changed: preprocess"
    (untold,) = check_edge(replace(edge, changes=(*held, (tuple(several[:3]), "no proposals"))), child)
    assert untold.startswith("changed but not told: detach_proposals")
    assert cards.named(("", "()", "rpn")) == "the whole, the kind, rpn"


@pytest.mark.parametrize("name", cards.names())
def test_the_card_is_filled(name: str) -> None:
    card = cards.get(name)
    assert card.name == name
    assert {"paper", "small"} <= set(card.presets)
    assert len(card.summary) > 80, "a summary says what is changed and why"
    assert card.claims and card.facts and card.notes, "a card has one claim, one fact and one note at least"
    for preset in card.presets:
        card.spec(preset), card.recipe(preset)
    assert all(parent.paper.year <= card.year for parent in card.parents)


def test_a_name_is_found_however_it_is_written() -> None:
    for name in cards.names():
        assert cards.get(name.replace("_", "-").upper()).name == name


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(cards.StemmaError, match="retinanet"):
        cards.get("retina-nett")
