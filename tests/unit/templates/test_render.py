"""What a repository makes of a notification, and what it refuses to make."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clarion.errors import TemplateInvalid, TemplateNotFound
from clarion.notification import Notification
from clarion.templates import TemplateRepository

Build = Callable[[dict[str, str]], TemplateRepository]
Notify = Callable[..., Notification]

LAYOUT = Path(__file__).parents[3] / "shared" / "templates" / "_layout" / "email.html.mako"
SECRET = "s3cret-4711"
SID = "HX" + "0aF" * 10 + "00"


def text(build: Build, notify: Notify, source: str, payload: dict[str, Any]) -> str:
    repository = build({"hello/whatsapp.text.mako": source})
    return repository.render(notify("whatsapp", payload))["text"]


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        (None, "default"),
        ("pt-BR", "pt-BR"),
        ("PT-br", "pt-BR"),
        ("pt-PT", "pt"),
        ("pt", "pt"),
        ("pt-BR-x", "pt-BR"),
        ("de", "default"),
        ("p", "default"),
    ],
)
def test_each_part_falls_back_by_itself(
    build: Build, notify: Notify, locale: str | None, expected: str
) -> None:
    files = {
        "hello/push.title.mako": "default",
        "hello/push.title.pt.mako": "pt",
        "hello/push.title.pt-BR.mako": "pt-BR",
        "hello/push.body.mako": "body",
    }

    parts = build(files).render(notify("push", {}, locale=locale))

    assert parts == {"title": expected, "body": "body"}


def test_only_html_is_escaped(build: Build, notify: Notify) -> None:
    files = {f"hello/email.{part}.mako": "${a}" for part in ("subject", "html", "text")}

    parts = build(files).render(notify("email", {"a": "<b> & \"c\" 'd'"}))

    assert parts["html"] == "&lt;b&gt; &amp; &#34;c&#34; &#39;d&#39;"
    assert parts["subject"] == parts["text"] == "<b> & \"c\" 'd'"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("${a | n}", "<b>"),
        ("${a | h}", "&lt;b&gt;"),
        ("${a | n,u}", "%3Cb%3E"),
        ("<%def name='f(x)'><i>${x}</i></%def>${f(a)}", "<i>&lt;b&gt;</i>"),
        ("<%block name='t'>${a}</%block>", "&lt;b&gt;"),
    ],
)
def test_html_is_escaped_once_unless_the_template_opts_out(
    build: Build, notify: Notify, source: str, expected: str
) -> None:
    files = {"hello/email.subject.mako": "x", "hello/email.html.mako": source}

    assert build(files).render(notify("email", {"a": "<b>"}))["html"] == expected


def test_a_shared_layout_surrounds_the_part_and_escapes_too(build: Build, notify: Notify) -> None:
    repository = build(
        {
            "_layout/frame.html.mako": "<p>${brand}</p>${next.body()}",
            "hello/email.html.mako": "<%inherit file='/_layout/frame.html.mako'/><b>${a}</b>",
            "hello/email.subject.mako": "x",
        }
    )

    parts = repository.render(notify("email", {"a": "1 < 2", "brand": "A&B"}))

    assert parts["html"] == "<p>A&amp;B</p><b>1 &lt; 2</b>\n"


def test_a_part_may_leave_out_what_the_layout_of_emails_asks_for(
    build: Build, notify: Notify
) -> None:
    repository = build(
        {
            "_layout/email.html.mako": LAYOUT.read_text(),
            "hello/email.subject.mako": "x",
            "hello/email.html.mako": "<%inherit file='/_layout/email.html.mako'/>"
            "<%! lang = 'en' %><%block name='heading'>Hello, ${a}</%block>Body",
        }
    )

    html = repository.render(notify("email", {"a": "Ann"}))["html"]

    # in the title and above the body, and not once more where the block stands
    assert html.count("Hello, Ann") == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x", "x"),
        ("x\n", "x"),
        ("x\n\n", "x\n"),
        ("x\r\ny\r\n", "x\ny"),
        ("\ufeffx", "x"),
        ("${a}", "v\n"),
        ("% if a:\nyes\n% endif\n", "yes"),
    ],
)
def test_the_newline_that_ends_the_file_is_not_sent(
    build: Build, notify: Notify, source: str, expected: str
) -> None:
    assert text(build, notify, source, {"a": "v\n"}) == expected


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028"])
@pytest.mark.parametrize("place", ["a{}b", "a{}", "{}b"])
def test_a_subject_never_has_a_line_break(
    build: Build, notify: Notify, separator: str, place: str
) -> None:
    repository = build({"hello/email.subject.mako": "${a}", "hello/email.text.mako": "x"})

    with pytest.raises(TemplateInvalid, match=r"email\.subject\.mako: the subject has a line"):
        repository.render(notify("email", {"a": place.format(separator)}))


def test_a_subject_of_two_lines_is_refused(build: Build, notify: Notify) -> None:
    repository = build({"hello/email.subject.mako": "one\ntwo\n", "hello/email.text.mako": "x"})

    with pytest.raises(TemplateInvalid, match="line break"):
        repository.render(notify("email", {}))


def test_names_that_mean_something_to_mako_or_python_are_harmless(
    build: Build, notify: Notify
) -> None:
    names = ["context", "UNDEFINED", "loop", "self", "local", "parent", "caller", "capture"]
    names += ["pageargs", "next", "class", "len", "str", "not a name", "", "__M_writer"]
    payload = dict.fromkeys(names, "harm") | {"xs": [1, 2]}

    source = "% for x in xs:\n${loop.index}${str(x)}${len(xs)}\n% endfor"

    assert text(build, notify, source, payload) == "012\n122"


@pytest.mark.parametrize("payload", [{}, {"a": None}])
@pytest.mark.parametrize("source", ["${a}", "% if a:\nx\n% endif", "<%def name='f()'>${a}</%def>"])
def test_a_missing_variable_is_an_error_and_never_a_blank(
    build: Build, notify: Notify, source: str, payload: dict[str, Any]
) -> None:
    with pytest.raises(TemplateInvalid, match=r"hello/whatsapp\.text\.mako: the payload lacks a$"):
        text(build, notify, source, payload)


@pytest.mark.parametrize("payload", [{}, {"a": None}])
def test_an_optional_variable_has_its_default(
    build: Build, notify: Notify, payload: dict[str, Any]
) -> None:
    assert text(build, notify, "${context.get('a', 'you')}", payload) == "you"
    assert text(build, notify, "${context.get('a', 'you')}", {"a": "me"}) == "me"


@pytest.mark.parametrize(
    ("source", "payload", "message"),
    [
        (
            "one\n${1 / zero}",
            {"zero": 0},
            ":2: ZeroDivisionError: division by zero in `${1 / zero}`",
        ),
        ("${a.b}", {"a": SECRET}, ":1: AttributeError: 'str' object has no attribute 'b'"),
        ("\n\n${a['b']}", {"a": {"c": SECRET}}, ":3: KeyError in `${a['b']}`"),
        ("${int(a)}", {"a": SECRET}, ":1: ValueError in `${int(a)}`"),
        ("${{}[a]}", {"a": SECRET}, ":1: KeyError in"),
        ("<% raise RuntimeError(a) %>", {"a": SECRET}, ":1: RuntimeError in"),
        ("<% raise SystemExit(a) %>", {"a": SECRET}, ":1: SystemExit in"),
        ("<%def name='f()'>${f()}</%def>${f()}", {}, ": RecursionError"),
        ("${a}", {"a": [SECRET]}, "a list is not text; write out what is in it"),
        ("${a}", {"a": {"b": SECRET}}, "a dict is not text"),
        ("${a.get('b')}", {"a": {}}, "the value is null"),
        ("${a.upper}", {"a": SECRET}, "is not text"),
        ("${context.get('a')}", {}, "the value is null"),
    ],
)
def test_whatever_a_template_does_is_one_error_without_the_payload(
    build: Build, notify: Notify, source: str, payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(TemplateInvalid) as raised:
        text(build, notify, source, payload)

    assert str(raised.value).startswith("hello/whatsapp.text.mako:")
    assert message in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_an_error_in_a_shared_file_names_that_file(build: Build, notify: Notify) -> None:
    repository = build(
        {
            "_layout/row.text.mako": "\n${n / 0}",
            "hello/whatsapp.text.mako": "\n\n<%include file='/_layout/row.text.mako'/>",
        }
    )

    with pytest.raises(TemplateInvalid, match=r"^_layout/row\.text\.mako:2: ZeroDivisionError"):
        repository.render(notify("whatsapp", {"n": 1}))


def test_templates_of_like_names_keep_their_own_lines(build: Build, notify: Notify) -> None:
    # Mako knows both by one module name
    repository = build(
        {"a-b/whatsapp.text.mako": "\n\n${1 / zero}", "a_b/whatsapp.text.mako": "${zero}"}
    )

    with pytest.raises(TemplateInvalid, match=r"^a-b/whatsapp\.text\.mako:3: "):
        repository.render(notify("whatsapp", {"zero": 0}, template_id="a-b"))


@pytest.mark.parametrize(
    "value", ['"', "\\", "a\nb", '", "admin": "yes', "\u2028", "\x00", "é😀", "${x}", "\\u0041"]
)
def test_a_value_cannot_break_out_of_a_json_string(
    build: Build, notify: Notify, value: str
) -> None:
    repository = build({"hello/push.data.json.mako": '{"a": "${a}", "b": "x${a}y"}'})

    parts = repository.render(notify("push", {"a": value}))

    assert json.loads(parts["data.json"]) == {"a": value, "b": f"x{value}y"}


@pytest.mark.parametrize(
    ("part", "source", "message"),
    [
        ("push.data", "{", "is not JSON"),
        ("push.data", '["a"]', "is not a JSON object"),
        ("push.data", '{"a": 1}', "must be an object of strings"),
        ("push.data", '{"a": ${a}}', "must be an object of strings"),
        ("push.data", '{"a": ["x"]}', "must be an object of strings"),
        ("push.data", "[" * 100_000, "nested too deeply"),
        ("whatsapp.content", "{}", "content_sid must be HX and 32 hexadecimal digits"),
        ("whatsapp.content", '{"content_sid": "HX1"}', "content_sid must be HX"),
        ("whatsapp.content", '{"content_sid": 1}', "content_sid must be HX"),
        ("whatsapp.content", f'{{"content_sid": "{SID}\\n"}}', "content_sid must be HX"),
        ("whatsapp.content", '{"sid": "x"}', "only content_sid and content_variables"),
        (
            "whatsapp.content",
            f'{{"content_sid": "{SID}", "content_variables": {{"1": 1}}}}',
            "content_variables must be an object of strings",
        ),
    ],
)
def test_json_of_another_shape_is_refused(
    build: Build, notify: Notify, part: str, source: str, message: str
) -> None:
    repository = build({f"hello/{part}.json.mako": source})

    with pytest.raises(TemplateInvalid) as raised:
        repository.render(notify(part.partition(".")[0], {"a": 1}))

    assert f"hello/{part}.json.mako: " in str(raised.value)
    assert message in str(raised.value)


def test_a_content_form_is_returned_as_its_file_has_it(build: Build, notify: Notify) -> None:
    source = f'{{"content_sid": "{SID}", "content_variables": {{"1": "${{a}}"}}}}'

    parts = build({"hello/whatsapp.content.json.mako": source}).render(
        notify("whatsapp", {"a": "x"})
    )

    assert parts == {"content.json": source.replace("${a}", "x")}


def test_an_unknown_template_or_channel_is_not_found(build: Build, notify: Notify) -> None:
    repository = build({"hello/whatsapp.text.mako": "x"})

    with pytest.raises(TemplateNotFound, match="there is no template 'gone'; there are hello"):
        repository.render(notify("whatsapp", {}, template_id="gone"))
    with pytest.raises(TemplateNotFound, match="has no parts for email, only for whatsapp"):
        repository.render(notify("email", {}))


def test_threads_share_a_repository(build: Build, notify: Notify) -> None:
    repository = build({"hello/whatsapp.text.mako": "<% b = a * 2 %>${a} ${b}"})

    with ThreadPoolExecutor(8) as pool:
        texts = pool.map(
            lambda a: repository.render(notify("whatsapp", {"a": a}))["text"], range(400)
        )

    assert list(texts) == [f"{a} {a * 2}" for a in range(400)]
