"""Which email addresses are taken: all that email-validator takes, and no others."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.addresses import email_problem

PARTS = st.sampled_from(
    [*"aZ09.-_+@'\" ü", "--", "..", "xn--", ".test", ".local", ".com", "com", "example", "a" * 20]
)


def taken_by_the_library(address: str) -> bool:
    try:
        validate_email(
            address, check_deliverability=False, test_environment=True, allow_smtputf8=False
        )
    except EmailNotValidError:
        return False
    return True


@given(st.lists(PARTS, max_size=12).map("".join), st.lists(PARTS, max_size=12).map("".join))
@example("ann", "example.com")
@example("a.b+c_d-e", "mail.my-shop.co.uk")
@example("ann", "ab--c.com")
@example("ann", "printer.local")
@example("-a-", "x.y9")
@example("a" * 32 + ".a", "a" * 20 + "." + "a" * 20)
def test_an_address_is_taken_exactly_when_the_library_takes_it(local: str, domain: str) -> None:
    address = f"{local}@{domain}"

    assert (email_problem(address) is None) == taken_by_the_library(address)


@pytest.mark.parametrize("address", ["ann@", "ann@localhost", "a b@example.com", "@example.com"])
def test_a_refusal_says_why(address: str) -> None:
    assert email_problem(address)
