"""Where applications are called: what the setting may say, and what it says when it is wrong."""

from __future__ import annotations

import base64

import pytest

from clarion.errors import SettingsError
from clarion.logs import conceal
from clarion_gateway.callback_urls import CallbackUrls, parse_callbacks

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"t" * 24).decode()


def test_entries_stand_between_semicolons_or_line_breaks() -> None:
    urls = parse_callbacks(
        f"shop https://shop.example/hooks {SECRET} {OTHER};\n\n"
        f"billing http://billing:8080/ {OTHER}\n"
    )

    shop = urls.get("shop")
    assert urls.names == ("billing", "shop")
    assert shop is not None
    assert (shop.url, shop.secrets) == ("https://shop.example/hooks", (SECRET, OTHER))
    assert "shop" in urls
    assert "other" not in urls


def test_nothing_calls_nobody() -> None:
    assert parse_callbacks(" \n").names == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/hooks",
        "http://localhost/",
        "http://10.1.2.3/",
        "http://[::1]:9000/",
        "http://billing/hooks",
        "http://billing.apps.svc.cluster.local/hooks",
    ],
)
def test_plain_http_is_for_this_network(url: str) -> None:
    assert parse_callbacks(f"shop {url} {SECRET}").names == ("shop",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shop", "entry 1 is not complete; write `name https://"),
        ("shop https://shop.example/", "entry 1 is not complete"),
        (f"sh/op https://shop.example/ {SECRET}", "entry 1 is not complete"),
        (f"shop ftp://shop.example/ {SECRET}", r"entry 1 \(shop\): the second word is not a URL"),
        (f"shop https:// {SECRET}", "is not a URL"),
        (f"shop https://shop.example:99999/ {SECRET}", "is not a URL"),
        (f"shop http://shop.example/ {SECRET}", r"entry 1 \(shop\): the URL must be https"),
        (f"shop http://8.8.8.8/ {SECRET}", "must be https"),
        ("shop https://shop.example/ whsec_c2hvcnQ=", "a secret is whsec_ and 24 to 64"),
        ("shop https://shop.example/ whsec_%%%", "openssl rand"),
        (f"shop https://shop.example/ {SECRET[6:]}", "a secret is whsec_"),
        (
            f"a https://a.example {SECRET}; a https://b.example {SECRET}",
            "entry 2: a has an entry already",
        ),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_repeated(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        parse_callbacks(text)

    assert "CALLBACKS" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_change_is_heeded_from_then_on() -> None:
    urls = parse_callbacks(f"shop https://shop.example/ {SECRET}")

    urls.replace(parse_callbacks(f"billing https://billing.example/ {OTHER}"))

    names = [urls.names]
    urls.replace(CallbackUrls())
    names.append(urls.names)
    assert names == [("billing",), ()]


def test_no_line_holds_a_secret() -> None:
    (name,) = parse_callbacks(f"shop https://shop.example/hooks {SECRET}").names
    url = parse_callbacks(f"{name} https://shop.example/hooks {SECRET}").get(name)

    assert SECRET not in repr(url)
    assert conceal(f"calling with {SECRET} now") == "calling with *** now"
