"""What a person's message wishes is told by a word that stands alone."""

from __future__ import annotations

import pytest

from clarion.inbound import Wish, other_forms, wish_in


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop. ",
        "«stop!»",
        "STOP 🛑",
        "\u200eSTOP\u200f",
        "\uff33\uff34\uff2f\uff30",
        "Stop  all",
        "opt-out",
        "Unsubscribe",
        "ARRET",
        "Arrêt",
        "arre\u0302t",
        "BAJA",
        "Parar",
        "pare",
        "SAIR",
        "cancelar",
        "STOPP",
        "Abmelden!",
        "СТОП",
        "İPTAL",
        "बंद करें",
        "停止。",
        "إيقاف",
        "수신거부",
    ],
)
def test_a_word_for_stop_is_one_however_it_is_written(text: str) -> None:
    assert wish_in(text) is Wish.STOP


@pytest.mark.parametrize("text", ["START", "Unstop!", "opt in", "ALTA", "Começar", "comecar"])
def test_a_word_for_start_is_one_however_it_is_written(text: str) -> None:
    assert wish_in(text) is Wish.START


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!!!",
        "please stop by at noon",
        "stopping",
        "don't stop",
        "st op",
        "stop1",
        "yes",
        "end",
        "no",
        "restart",
        "\x00",
        "\ud800",
        "stop" * 10_000,
        "!" * 10_000 + "stop",
    ],
)
def test_anything_else_is_no_wish(text: str) -> None:
    assert wish_in(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+5521987654321", "+552187654321"),
        ("+5215512345678", "+525512345678"),
        ("+5491123456789", "+541123456789"),
    ],
)
def test_a_number_is_known_in_both_of_its_forms(one: str, other: str) -> None:
    assert other_forms(one) == (other,)
    assert other_forms(other) == (one,)


@pytest.mark.parametrize(
    "number",
    [
        "+14155550123",
        "+552133334444",  # a line in the house, in Brazil
        "+5521933334444",  # a mobile number that was never one of 8 digits
        "+52155123456789",
        "+4915112345678",
        "+52\u0661551234567",
        "",
    ],
)
def test_any_other_number_has_one_form(number: str) -> None:
    assert other_forms(number) == ()
