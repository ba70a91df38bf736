"""Inbound messages: what a person wrote to us, as far as it says whether we may write back."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from clarion.notification import Channel


class Wish(StrEnum):
    """What a person said of further messages."""

    STOP = "stop"
    START = "start"


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message of a person; `key` is the same when the provider tells of it again.

    `also` is how else an application may have written the person's address.
    """

    key: str
    channel: Channel
    address: str
    source: str
    wish: Wish | None = None
    also: tuple[str, ...] = ()


def other_forms(number: str) -> tuple[str, ...]:
    """Return how else the same WhatsApp number may be written, E.164 as well.

    WhatsApp knows many numbers by the form in which they were registered, and tells that one: from
    before Brazil put a 9 before its mobile numbers (of 8 digits, which began with 6 to 9), and with
    the 1 after 52 and the 9 after 54 that Mexico and Argentina had, or have, for calls from abroad.
    """
    for long, short in _FORMS:
        for given, other in ((long, short), (short, long)):
            if match := re.fullmatch(given[0], number, re.ASCII):
                return (match.expand(other[1]),)
    return ()


_BRAZIL = r"\+55([1-9][1-9])9([6-9][0-9]{7})", r"+55\g<1>9\g<2>"
_OLD_BRAZIL = r"\+55([1-9][1-9])([6-9][0-9]{7})", r"+55\g<1>\g<2>"
_OLD_MEXICO = r"\+521([2-9][0-9]{9})", r"+521\g<1>"
_MEXICO = r"\+52([2-9][0-9]{9})", r"+52\g<1>"
_ARGENTINA_ABROAD = r"\+549([1-8][0-9]{9})", r"+549\g<1>"
_ARGENTINA = r"\+54([1-8][0-9]{9})", r"+54\g<1>"
_FORMS = (
    (_BRAZIL, _OLD_BRAZIL),
    (_OLD_MEXICO, _MEXICO),
    (_ARGENTINA_ABROAD, _ARGENTINA),
)


# English: what Twilio takes by default on its numbers, less what answers a question ("end", "yes")
# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
# French: https://www.twilio.com/docs/proxy/opt-out-keywords; the other languages: the word that a
# reader is told to send there, where it is no answer to another question as well
_STOP = (
    *("stop", "stopall", "stop all", "unsubscribe", "cancel", "quit", "revoke", "optout"),
    *("opt-out", "opt out", "remove"),
    *("arret", "arrêt", "arrête", "arrêter", "désabonner", "désinscrire"),  # French
    *("baja", "alto", "parar", "cancelar", "desuscribir"),  # Spanish
    *("pare", "sair", "descadastrar"),  # Portuguese, and the Spanish ones above
    *("stopp", "abmelden", "abbestellen"),  # German
    *("annulla", "disiscrivi", "cancellami"),  # Italian
    *("afmelden", "uitschrijven"),  # Dutch
    *("стоп", "отписаться"),  # Russian
    *("iptal", "berhenti"),  # Turkish, Indonesian
    *("إيقاف", "توقف"),  # Arabic
    *("रोकें", "बंद करें"),  # Hindi
    *("停止", "退订", "退訂", "수신거부"),  # Chinese and Japanese, Chinese, Korean
)
_START = (
    *("start", "unstop", "subscribe", "resume", "optin", "opt-in", "opt in"),
    *("démarrer", "reprendre", "abonner"),  # French
    *("alta", "iniciar", "suscribir"),  # Spanish
    *("começar", "cadastrar"),  # Portuguese
    *("anmelden",),  # German
    *("inizia", "iscrivimi"),  # Italian
    *("aanmelden",),  # Dutch
    *("старт", "подписаться"),  # Russian
    *("başlat", "mulai"),  # Turkish, Indonesian
)


def wish_in(text: str) -> Wish | None:
    """Return what a message wishes: only where it is one of the words, whole and alone.

    Neither case, accents nor punctuation count. "Please stop by at noon" is no wish.
    """
    return _WISHES.get(_plain(text)) if len(text) <= _LONGEST else None


def _plain(text: str) -> str:
    """Return the letters and digits of a text, in words with one space between them."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = (
        char if unicodedata.category(char)[0] in "LN" else " "
        for char in letters
        if unicodedata.category(char) not in _UNHEARD
    )
    return " ".join("".join(kept).split())


_UNHEARD = frozenset({"Mn", "Mc", "Cf"})  # accents, vowel signs, marks of direction
_LONGEST = 60

_WISHES = {
    **dict.fromkeys(map(_plain, _STOP), Wish.STOP),
    **dict.fromkeys(map(_plain, _START), Wish.START),
}
