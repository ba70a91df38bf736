"""The page in a real browser."""

import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import CONTENT, Sender, mail, push, whatsapp

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
# where the page shows what a sender wrote
WRITTEN = "header, pre, td, .text, .title, .body, .facts"


@pytest.fixture
def send(sandbox: RunningSandbox) -> Sender:
    return Sender(sandbox)


@pytest.fixture
async def page(browser: Browser, sandbox: RunningSandbox) -> AsyncIterator[Page]:
    page = await browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(sandbox.url)
    yield page
    await page.close()
    assert errors == []


async def test_a_message_appears_without_a_reload(page: Page, send: Sender) -> None:
    await expect(page.get_by_text("Nothing has arrived yet")).to_be_visible()

    await send.mail(mail(subject="Your order has shipped"))

    await expect(page.locator(".message")).to_contain_text("Your order has shipped")
    await expect(page.locator(".message")).to_contain_text("ann@example.com")
    await expect(page).to_have_title("(1) Clarion sandbox")


async def test_a_mail_is_shown_as_its_reader_sees_it(page: Page, send: Sender) -> None:
    await send.mail(mail())

    await page.locator(".message").click()

    frame = page.frame_locator("iframe")
    await expect(frame.locator("b")).to_have_text("Ann")
    await expect(page.locator("iframe")).to_have_attribute("sandbox", "")
    await page.get_by_role("button", name="Text", exact=True).click()
    await expect(page.locator(".stage pre")).to_have_text("Hello Ann")


async def test_a_whatsapp_message_is_a_chat_bubble(page: Page, send: Sender) -> None:
    await send.whatsapp(whatsapp(Body="On its way"))

    await page.locator(".message").click()

    await expect(page.locator(".bubble")).to_contain_text("On its way")


async def test_the_reader_of_a_whatsapp_message_writes_back(page: Page, send: Sender) -> None:
    # nothing listens there, and the page says so
    await send.whatsapp(whatsapp(StatusCallback="http://127.0.0.1:1/webhooks/twilio?nid=n1&att=1"))
    await page.locator(".message").click()

    await page.get_by_label("What the reader writes").fill("STOP")
    await page.get_by_role("button", name="Reply", exact=True).click()

    said = page.get_by_role("group", name="Reply").get_by_role("status")
    await expect(said).to_contain_text("127.0.0.1")


async def test_a_template_shows_its_variables(page: Page, send: Sender) -> None:
    await send.whatsapp(whatsapp(Body=None, ContentSid=CONTENT, ContentVariables='{"1": "Ann"}'))

    await page.locator(".message").click()

    await expect(page.locator(".bubble")).to_contain_text(CONTENT)
    await expect(page.locator(".bubble td").nth(1)).to_have_text("Ann")


async def test_a_push_is_a_notification_card(page: Page, send: Sender) -> None:
    await send.push(push())

    await page.locator(".message").click()

    await expect(page.locator(".card .title")).to_have_text("Welcome")
    await expect(page.locator(".card .body")).to_have_text("Hello Ann")


async def test_what_a_sender_wrote_never_becomes_markup(page: Page, send: Sender) -> None:
    html = {"type": "text/html", "value": HOSTILE}
    text = {"type": "text/plain", "value": HOSTILE}
    sender = {"email": "a@b.de", "name": HOSTILE}
    hostile_mail = mail(subject=HOSTILE, categories=[HOSTILE], content=[text, html])
    await send.mail({**hostile_mail, "from": sender})
    variables = json.dumps({"<b>": "<b>x</b>"})
    await send.whatsapp(
        whatsapp(nid="n2", Body=HOSTILE, ContentSid=CONTENT, ContentVariables=variables)
    )
    card = {"title": HOSTILE, "body": HOSTILE}
    await send.push(push(nid="n3", notification=card, data={"nid": "n3", "<b>": HOSTILE}))
    await send.push(push(to=HOSTILE))

    await expect(page.locator(".message")).to_have_count(3)
    for index, nid in enumerate(("n3", "n2", "n1")):
        await page.locator(".message").nth(index).click()
        await expect(page.locator(".facts")).to_contain_text(nid)
        for view in await page.locator(".switch button").all():
            await view.click()
            assert await page.locator(f".reader :is({WRITTEN}) :is(b, img, script)").count() == 0
    await page.get_by_role("link", name="Refused").click()
    await expect(page.locator(".refusal")).to_contain_text("onerror")

    assert await page.locator("main :is(img, script)").count() == 0
    await expect(page).to_have_title("(3) Clarion sandbox")


async def test_the_channel_filter_hides_the_others(page: Page, send: Sender) -> None:
    await send.mail(mail())
    await send.push(push())
    await expect(page.locator(".message")).to_have_count(2)

    await page.get_by_role("button", name="Push", exact=True).click()

    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.locator(".message")).to_contain_text("a-device")


async def test_a_retry_is_told_beside_the_message(page: Page, send: Sender) -> None:
    for _ in range(3):
        await send.to("email", "flaky@sandbox.test")

    await expect(page.locator(".message .chip")).to_have_text("503 x2, then accepted")
    await page.get_by_role("link", name="Calls").click()
    await expect(page.locator("#calls tbody tr")).to_contain_text("503 x2, then accepted")


async def test_the_addresses_and_the_active_rules_are_listed(
    page: Page, sandbox: RunningSandbox
) -> None:
    rule = {"channel": "email", "to": "*@x.test", "action": {"type": "status", "code": 503}}
    await sandbox.fail(rule)

    await page.get_by_role("link", name="Faults").click()

    await expect(page.locator("#addresses")).to_contain_text("throttle@sandbox.test")
    await expect(page.locator("#faults")).to_contain_text("*@x.test")
    await page.get_by_role("button", name="Remove all").click()
    await expect(page.locator("#faults")).to_contain_text("No rule is active")
    assert await sandbox.get("/api/faults") == []


async def test_clear_empties_the_inbox(page: Page, sandbox: RunningSandbox, send: Sender) -> None:
    await send.mail(mail())
    await page.locator(".message").click()

    await page.get_by_role("button", name="Clear").first.click()

    await expect(page.get_by_text("Nothing has arrived yet")).to_be_visible()
    await expect(page.get_by_text("No message selected")).to_be_visible()
    assert await sandbox.messages() == []


async def test_a_narrow_screen_shows_the_list_or_the_message(
    browser: Browser, sandbox: RunningSandbox, send: Sender
) -> None:
    await send.mail(mail())
    page = await browser.new_page(viewport={"width": 390, "height": 780})
    await page.goto(sandbox.url)

    await page.locator(".message").click()

    await expect(page.locator("iframe")).to_be_visible()
    await expect(page.locator(".message")).to_be_hidden()
    await page.get_by_role("button", name="Back to the inbox").click()
    await expect(page.locator(".message")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await page.close()


async def test_a_button_says_what_became_of_its_receipt(page: Page, send: Sender) -> None:
    nowhere = "http://127.0.0.1:1/webhooks/twilio?nid=n1&att=1"
    await send.whatsapp(whatsapp(StatusCallback=nowhere))

    await page.locator(".message").click()
    await page.get_by_role("button", name="Report spam").click()

    await expect(page.get_by_role("group", name="Receipts").get_by_role("status")).to_contain_text(
        "Report spam: Cannot connect"
    )
    await expect(page.get_by_role("button", name="Unsubscribe")).to_have_count(0)
