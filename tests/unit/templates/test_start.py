"""What stops the start: every fault of the templates folder, said with the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clarion.errors import SettingsError, TemplateInvalid
from clarion.templates import TemplateRepository

Write = Callable[[dict[str, str]], Path]
Build = Callable[[dict[str, str]], TemplateRepository]

TEXT = "hello/whatsapp.text.mako"


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TEMPLATES_DIR: cannot read .*/nowhere"):
        TemplateRepository(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="TEMPLATES_DIR: cannot read"):
        TemplateRepository(tmp_path / "file")


def test_a_folder_without_templates_names_the_setting(build: Build) -> None:
    with pytest.raises(SettingsError, match="TEMPLATES_DIR: there is no template in"):
        build({"_layout/email.html.mako": "x"})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"hello/email.subjekt.mako": "x"}, "hello/email.subjekt.mako: not the name of a part"),
        ({"hello/email.subject.txt": "x"}, "email.subject, email.html, email.text"),
        ({"hello/email.subject.pt_BR.mako": "x"}, "a locale such as pt-BR"),
        ({"hello/email.subject.123.mako": "x"}, "not the name of a part"),
        ({"hello/email.subjectde.mako": "x"}, "not the name of a part"),
        ({"hello/x.email.subject.mako": "x"}, "not the name of a part"),
        ({"hello/README.md": "x"}, "hello/README.md: not the name of a part"),
        ({"README.md": "x"}, "README.md: a file beside the templates"),
        ({"Hello/whatsapp.text.mako": "x"}, "Hello: not a template's name"),
        ({"hello/more/whatsapp.text.mako": "x"}, "hello/more: not a file"),
        ({"hello/email.subject.mako": "x"}, "email is not complete without"),
        ({"hello/email.text.mako": "x"}, "without email.subject and email.html or"),
        ({"hello/push.title.mako": "x"}, "without push.title and push.body or push.data.json"),
        ({"hello/whatsapp.text.de.mako": "x"}, "there is no whatsapp.text.mako beside it"),
        (
            {TEXT: "", "hello/whatsapp.text.de.mako": "", "hello/whatsapp.text.DE.mako": ""},
            "the same part and locale as hello/whatsapp.text.DE.mako",
        ),
    ],
)
def test_a_misplaced_file_stops_the_start(
    build: Build, files: dict[str, str], message: str
) -> None:
    with pytest.raises(TemplateInvalid) as raised:
        build(files)

    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("one\n${", "hello/whatsapp.text.mako:2: "),
        ("one\n\n${1 +}", "hello/whatsapp.text.mako:3: "),
        ("% if x:\nyes\n", "hello/whatsapp.text.mako:"),
        ("<%! 1 / 0 %>", "hello/whatsapp.text.mako: ZeroDivisionError"),
        ("<%! raise SystemExit(1) %>", "hello/whatsapp.text.mako: SystemExit"),
        ("<%\nreturn =\n%>", "hello/whatsapp.text.mako:2: "),
        ("one\n${type}", "hello/whatsapp.text.mako:2: 'type' has a meaning of its own"),
        ("% if id == 7:\nx\n% endif\n", "hello/whatsapp.text.mako:1: 'id' has a meaning"),
        ("${caller}", "'caller' has a meaning of its own"),
        ("one\n${buffer}", "hello/whatsapp.text.mako:2: 'buffer' has a meaning of its own"),
        ("% if tmpl:\nx\n% endif\n", "hello/whatsapp.text.mako:1: 'tmpl' has a meaning"),
        ("${context.get('callable_')}", "'callable_' has a meaning of its own"),
        ("<%page args='buffer'/>${buffer}", "'buffer' has a meaning of its own"),
        ("<%page args='tmpl=1'/>${tmpl}", "'tmpl' has a meaning of its own"),
        ("one\n<% a = a.strip() %>", "hello/whatsapp.text.mako:2: 'a' is assigned from itself"),
        ("<% a += 1 %>", "'a' is assigned from itself: assign to another name"),
        ("${context.get('input')}", "'input' has a meaning of its own"),
        ("${context.get('a' + b)}", "must be written out, not computed"),
        ("${context.get()}", "context.get() needs a name"),
        ("${context[a]}", "must be written out, not computed"),
        ("<%include file='${a}'/>", "must be written out, not computed"),
        ("\n<%include file='/_layout/gone.text.mako'/>", "text.mako:2: there is no file _layout/"),
        ("<%include file='/../../etc/passwd'/>", "there is no file etc/passwd"),
        ("<%inherit file='../../../etc/passwd'/>", "there is no file etc/passwd"),
        ("<%include file='/_layout/a.html.mako'/>", "_layout/a.html.mako is escaped as html"),
        ("<%namespace file='/_layout/a.text.mako' import='*'/>${f()}", "write out the names"),
        ("<%page args='a=1'/><%inherit file='/_layout/a.text.mako'/>", "do not reach a file that"),
    ],
)
def test_a_faulty_template_stops_the_start(build: Build, source: str, message: str) -> None:
    shared = {"_layout/a.html.mako": "x", "_layout/a.text.mako": "x"}

    with pytest.raises(TemplateInvalid) as raised:
        build({TEXT: source, **shared})

    assert message in str(raised.value)


def test_a_file_that_is_not_utf_8_is_named(write: Write) -> None:
    root = write({TEXT: "x"})
    (root / TEXT).write_bytes(b"caf\xe9")

    with pytest.raises(TemplateInvalid, match=r"hello/whatsapp\.text\.mako: not UTF-8 at byte 3"):
        TemplateRepository(root)


def test_an_empty_template_folder_is_named(write: Write) -> None:
    root = write({TEXT: "x"})
    (root / "bare").mkdir()

    with pytest.raises(TemplateInvalid, match="bare: the folder is empty"):
        TemplateRepository(root)


def test_a_link_in_a_circle_is_named(write: Write) -> None:
    root = write({TEXT: "x"})
    (root / "hello" / "push.title.mako").symlink_to("push.title.mako")

    with pytest.raises(TemplateInvalid, match=r"hello/push\.title\.mako: cannot be followed"):
        TemplateRepository(root)


def test_a_folder_linked_to_itself_is_named(write: Write) -> None:
    root = write({TEXT: "x"})
    (root / "again").symlink_to("again")

    with pytest.raises(TemplateInvalid, match="again: cannot be followed"):
        TemplateRepository(root)


@pytest.mark.parametrize("link", ["hello/push.title.mako", "outside"])
def test_a_link_out_of_the_folder_is_refused(write: Write, tmp_path: Path, link: str) -> None:
    root = write({TEXT: "x"})
    (tmp_path / "elsewhere").mkdir()
    (root / link).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(TemplateInvalid, match="leads out of the templates folder"):
        TemplateRepository(root)


def test_a_mounted_volume_of_links_within_the_folder_is_read(write: Write) -> None:
    root = write({"..data/hello/whatsapp.text.mako": "x"})
    (root / "hello").symlink_to("..data/hello")

    assert TemplateRepository(root).names() == ["hello"]


def test_nothing_is_written_beside_the_templates(build: Build, tmp_path: Path) -> None:
    build({TEXT: "x"})

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["whatsapp.text.mako"]
