"""What every answer has: a request id, security headers, a problem where it is a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from clarion.templates import TemplateRepository


class Records(list[dict[str, Any]]):
    """The log's records while the test ran."""

    def of(self, message: str) -> list[dict[str, Any]]:
        return [record for record in self if record["message"] == message]


@pytest.fixture
def log() -> Iterator[Records]:
    records = Records()
    sink = logger.add(lambda message: records.append(dict(message.record)), level="DEBUG")
    yield records
    logger.remove(sink)


class BrokenTemplates(TemplateRepository):
    """A repository with a bug."""

    def __init__(self) -> None:
        pass

    def names(self) -> list[str]:
        raise ZeroDivisionError("a secret of ours")


async def test_a_valid_request_id_is_kept(gateway: Any) -> None:
    answer = await gateway.get("/health/live", headers={"X-Request-ID": "abc-123"})

    assert answer.headers["X-Request-ID"] == "abc-123"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "<script>"])
async def test_another_request_id_is_replaced(gateway: Any, bad: str) -> None:
    answer = await gateway.get("/health/live", headers={"X-Request-ID": bad})

    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/nothing", "/v1/notifications"])
async def test_every_answer_has_security_headers(gateway: Any, path: str) -> None:
    answer = await gateway.get(path)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Server" not in answer.headers or "uvicorn" in answer.headers["Server"]


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/notifications/", "/health/x"])
async def test_an_unknown_path_is_a_404_problem(gateway: Any, path: str) -> None:
    answer = await gateway.get(path)

    assert answer.status == 404
    assert answer.paths == []
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/notifications", "GET, HEAD, POST"),
        ("GET", "/v1/notifications/batch", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
    ],
)
async def test_another_method_is_a_405_that_lists_those_allowed(
    gateway: Any, method: str, path: str, allowed: str
) -> None:
    answer = await gateway.request(method, path)

    assert answer.status == 405
    assert answer.headers["Allow"] == allowed
    assert answer.paths == []


async def test_a_head_request_has_no_body(gateway: Any) -> None:
    answer = await gateway.request("HEAD", "/health/live")

    assert answer.status == 200
    assert answer.body == b""


async def test_a_bug_is_a_500_that_tells_nothing_but_its_id(
    start_gateway: Any, log: Records
) -> None:
    gateway = await start_gateway(templates=BrokenTemplates())

    answer = await gateway.get("/v1/templates")

    assert answer.status == 500
    assert b"secret" not in answer.body
    [record] = log.of("a request failed unexpectedly")
    assert record["extra"]["request_id"] == answer.json["request_id"]
    assert record["exception"].type is ZeroDivisionError


async def test_the_access_log_has_the_path_template_not_the_path(
    gateway: Any, log: Records
) -> None:
    await gateway.get("/v1/notifications/someone@example.com")

    [record] = log.of("request")
    context = record["extra"]
    assert context["path"] == "/v1/notifications/{notification_id}"
    assert (context["method"], context["status"]) == ("GET", 404)
    assert context["producer"] == "anonymous"
    assert context["duration_ms"] >= 0


async def test_without_the_access_log_only_what_failed_here_is_logged(
    start_gateway: Any, log: Records
) -> None:
    gateway = await start_gateway(templates=BrokenTemplates(), access_log=False)

    await gateway.get("/v1/notifications")
    await gateway.get("/nothing")
    await gateway.get("/v1/templates")

    [record] = log.of("request")
    assert (record["extra"]["path"], record["extra"]["status"]) == ("/v1/templates", 500)


async def test_what_monitoring_asks_is_logged_at_debug(gateway: Any, log: Records) -> None:
    await gateway.get("/health/live")

    [record] = log.of("request")
    assert record["level"].name == "DEBUG"


async def test_no_log_line_holds_the_recipient(gateway: Any, log: Records) -> None:
    await gateway.send()
    await gateway.send(payload={"user_name": "Ann", "email": "ann at example.com"})

    assert log
    assert not any("ann@example.com" in str(record) for record in log)
    assert not any("ann at example.com" in str(record) for record in log)


async def test_a_program_gets_service_information_and_a_browser_the_docs(gateway: Any) -> None:
    program = await gateway.get("/")
    browser = await gateway.get("/", headers={"Accept": "text/html,*/*;q=0.8"})

    assert program.json["name"] == "Clarion"
    assert (await gateway.get(program.json["links"]["health"])).status == 200
    assert browser.status == 303
    assert browser.headers["Location"] == "/docs"
    assert browser.headers["Vary"] == program.headers["Vary"] == "Accept"
