"""Which payload keys a template is found to need, from its source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clarion.errors import TemplateNotFound
from clarion.notification import Channel, Notification
from clarion.templates import TemplateRepository

Build = Callable[[dict[str, str]], TemplateRepository]
Notify = Callable[..., Notification]

SHARED = {
    "_layout/frame.text.mako": "<%block name='top'>${brand}</%block>${next.body()}${footer}",
    "_layout/row.text.mako": "<%page args='label, width=3'/>${label} ${width} ${unit}",
    "_layout/tools.text.mako": "<%def name='bold(text)'>*${text}*</%def>",
}


@pytest.mark.parametrize(
    ("source", "required", "optional"),
    [
        ("no variable", [], []),
        ("${b} ${a} ${a}", ["a", "b"], []),
        ("${a.upper()} ${b['c']} ${d[0].e}", ["a", "b", "d"], []),
        ("% for x in xs:\n${x} ${loop.index}\n% endfor\n", ["xs"], []),
        ("${', '.join(x for x in xs)}", ["xs"], []),
        ("<% total = a + 1 %>${total}", ["a"], []),
        ("<% b = a.strip() %>${b}", ["a"], []),
        ("<% n = 0 %><% n += 1 %><% n = n + 1 %>${n}", [], []),
        ("<% x = [x for x in xs] %>${x[0]}", ["xs"], []),
        ("% for n in ns:\n<% n = n + 1 %>${n}\n% endfor", ["ns"], []),
        ("<% a, b = c %>${a} ${b}", ["c"], []),
        ("<% total = 1 %>${row()}<%def name='row()'>${total} ${a}</%def>", ["a"], []),
        ("<%def name='row(x)'>${x} ${a}</%def>", ["a"], []),
        ("<%! import math\nlimit = 3 %>${math.ceil(a)} ${limit}", ["a"], []),
        ("<% import math %>${math.ceil(a)}", ["a"], []),
        ("${len(xs)} ${', '.join(map(str, xs))} ${isinstance(y, (int, str))}", ["xs", "y"], []),
        ("% try:\n${a}\n% except ValueError:\nx\n% endtry\n", ["a"], []),
        ("% if a:\n${b}\n% endif\n", ["a", "b"], []),
        ("% if context.get('a'):\n${b}\n% endif\n", ["b"], ["a"]),
        ("${context.get('a', 'x')} ${a}", ["a"], []),
        ("${context['a']}", ["a"], []),
        ("<%page args='a, b=2'/>${a} ${b}", ["a"], ["b"]),
        ("<%text>${a}</%text>", [], []),
        ("## ${a}\n<%doc>${b}</%doc>", [], []),
        ("<%block name='x'>${a}</%block>", ["a"], []),
        ("${a | n,u} ${b | h}", ["a", "b"], []),
        ("<%inherit file='/_layout/frame.text.mako'/>${a}", ["a", "brand", "footer"], []),
        ("<%include file='/_layout/row.text.mako'/>", ["label", "unit"], ["width"]),
        ("<%include file='../_layout/row.text.mako' args='label=a'/>", ["a", "unit"], ["width"]),
        ("<%namespace name='t' file='/_layout/tools.text.mako'/>${t.bold(a)}", ["a"], []),
        ("<%namespace file='/_layout/tools.text.mako' import='bold'/>${bold(a)}", ["a"], []),
        ("<%namespace name='t' file='/_layout/tools.text.mako'/><%t:bold text='${a}'/>", ["a"], []),
    ],
)
def test_the_variables_are_read_from_the_source(
    build: Build, source: str, required: list[str], optional: list[str]
) -> None:
    repository = build({"hello/whatsapp.text.mako": source, **SHARED})

    description = repository.describe("hello")

    assert description.channels == {Channel.WHATSAPP: {"text": required}}
    assert description.optional == {Channel.WHATSAPP: {"text": optional}}


def test_a_description_joins_the_variables_of_all_locales(build: Build) -> None:
    repository = build(
        {
            "hello/push.title.mako": "${a}",
            "hello/push.title.pt-BR.mako": "${b}",
            "hello/push.body.mako": "x",
            "hello/whatsapp.text.mako": "x",
            "hello/whatsapp.text.de.mako": "${context.get('c')}",
        }
    )

    description = repository.describe("hello")

    assert description.template_id == "hello"
    assert description.locales == ["de", "pt-BR"]
    assert description.channels == {
        Channel.WHATSAPP: {"text": []},
        Channel.PUSH: {"title": ["a", "b"], "body": []},
    }
    assert description.optional[Channel.WHATSAPP] == {"text": ["c"]}


@pytest.mark.parametrize("template_id", ["gone", "_layout", "../hello", "", "hello/../hello"])
def test_only_the_name_of_a_listed_template_finds_it(build: Build, template_id: str) -> None:
    repository = build({"hello/whatsapp.text.mako": "x", **SHARED})

    with pytest.raises(TemplateNotFound, match="there are hello"):
        repository.describe(template_id)


FILES = {
    "hello/email.subject.mako": "${order} ${context.get('nick', '')}",
    "hello/email.text.mako": "${name} ${order} ${context.get('note')}",
    "hello/email.text.de.mako": "${anrede}",
    "hello/push.title.mako": "x",
    "hello/push.body.mako": "x",
}


@pytest.mark.parametrize(
    ("channel", "payload", "paths"),
    [
        ("email", {"name": "N", "order": 1}, []),
        ("email", {"name": "N\nM", "order": 1, "note": "a\r\nb"}, []),
        ("email", {}, ["payload.name", "payload.order"]),
        ("email", {"name": None, "order": 1}, ["payload.name"]),
        ("email", {"name": "", "order": 0}, []),
        ("email", {"name": "N", "order": "1\r\nBcc: x@y.z"}, ["payload.order"]),
        ("email", {"name": "N", "order": "1\n"}, ["payload.order"]),
        ("email", {"name": "N", "order": 1, "nick": "a\x0bb"}, ["payload.nick"]),
        ("email", {"name": "N", "order": "a\u2028b"}, ["payload.order"]),
        ("push", {}, []),
        ("whatsapp", {}, ["channel"]),
    ],
)
def test_the_check_names_each_field(
    build: Build, notify: Notify, channel: str, payload: dict[str, Any], paths: list[str]
) -> None:
    problems = build(FILES).check(notify(channel, payload))

    assert [problem.path for problem in problems] == paths


def test_the_check_says_what_to_do(build: Build, notify: Notify) -> None:
    repository = build(FILES)

    unknown = repository.check(notify("email", {}, template_id="gone"))
    channel = repository.check(notify("whatsapp", {}))
    missing = repository.check(notify("email", {"name": "N"}))
    broken = repository.check(notify("email", {"name": "N", "order": "a\nb"}))

    assert [(p.path, p.message) for p in unknown] == [
        ("template_id", "there is no template 'gone'; there are hello")
    ]
    assert "has no parts for whatsapp, only for email, push" in channel[0].message
    assert missing[0].message.endswith("template hello needs it for email.subject, email.text")
    assert "puts it in email.subject" in broken[0].message


def test_the_check_asks_for_what_the_locale_needs(build: Build, notify: Notify) -> None:
    problems = build(FILES).check(notify("email", {"order": 1}, locale="de-AT"))

    assert [problem.path for problem in problems] == ["payload.anrede"]
