"""What the page's answers let a browser do."""

import pytest

from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import Sender, mail, push


async def test_the_page_allows_no_inline_script_and_no_other_origin(
    sandbox: RunningSandbox,
) -> None:
    async with sandbox.session.get(f"{sandbox.url}/") as response:
        policy = response.headers["Content-Security-Policy"]
        html = await response.text()

    assert response.content_type == "text/html"
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http://" not in html
    assert "https://" not in html


@pytest.mark.parametrize("name", ["inbox.js", "dom.js", "reader.js", "inbox.css", "icon.svg"])
async def test_the_pages_files_come_with_the_package(sandbox: RunningSandbox, name: str) -> None:
    async with sandbox.session.get(f"{sandbox.url}/static/{name}") as response:
        assert response.status == 200


async def test_a_mails_html_is_locked_up_whoever_opens_it(
    sandbox: RunningSandbox, send: Sender
) -> None:
    html = "<script>alert(1)</script>"
    await send.mail(mail(content=[{"type": "text/html", "value": html}]))
    (message,) = await sandbox.messages()

    async with sandbox.session.get(f"{sandbox.url}/messages/{message['id']}/html") as response:
        policy = response.headers["Content-Security-Policy"]
        assert await response.text() == html

    assert policy.startswith("sandbox; default-src 'none';")
    assert "script-src" not in policy


async def test_a_message_without_html_has_no_page(sandbox: RunningSandbox, send: Sender) -> None:
    await send.push(push())
    (message,) = await sandbox.messages()

    for path in (f"/messages/{message['id']}/html", "/messages/m99/html"):
        async with sandbox.session.get(sandbox.url + path) as response:
            assert response.status == 404


async def test_the_overview_is_sent_again_only_when_something_changed(
    sandbox: RunningSandbox, send: Sender
) -> None:
    url = f"{sandbox.url}/api/overview"
    async with sandbox.session.get(url) as response:
        known = {"If-None-Match": response.headers["ETag"]}

    async with sandbox.session.get(url, headers=known) as unchanged:
        assert unchanged.status == 304
    await send.mail(mail())
    async with sandbox.session.get(url, headers=known) as changed:
        document = await changed.json()

    assert changed.status == 200
    (line,) = document["messages"]
    assert (line["title"], line["from"], line["outcome"]) == ("Welcome", "Example", "accepted")
    assert "html" not in line


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_a_sandbox_that_answers_is_ready(sandbox: RunningSandbox, path: str) -> None:
    assert await sandbox.get(path) == {"status": "ok"}


async def test_an_unknown_path_is_a_problem(sandbox: RunningSandbox) -> None:
    async with sandbox.session.get(f"{sandbox.url}/nothing") as response:
        document = await response.json(content_type="application/problem+json")

    assert (response.status, document["status"]) == (404, 404)
    assert "/nothing" in document["detail"]
