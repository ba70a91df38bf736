"""What an email address is: email-validator's word, and a short cut to it for plain ones."""

from __future__ import annotations

import re

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# letters, digits and single dots or dashes between them: nothing here is quoted, encoded, spoken
# of in a special way or near a limit, so the library could only agree. It takes 50 us to do so, an
# eighth of what a gateway spends on a notification.
_LABEL = r"[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}"
_PLAIN = re.compile(
    rf"[A-Za-z0-9_+-]{{1,32}}(?:\.[A-Za-z0-9_+-]{{1,15}}){{0,2}}@(?:{_LABEL}\.){{1,3}}([A-Za-z]{{2,20}})"
)
_SPECIAL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)
"""Top-level names under which some domain is for special use (RFC 6761)."""


def email_problem(address: str) -> str | None:
    """Return why this is not an email address that a provider could be given; None if it is one.

    The address is only parsed: looking its domain up is the provider's business.
    """
    plain = _PLAIN.fullmatch(address)
    if plain is not None and plain[1].lower() not in _SPECIAL:
        return None
    try:
        # .test (RFC 2606) is what the sandbox is addressed by; letters beyond ASCII before the @
        # need SMTPUTF8 (RFC 6531), which SendGrid does not offer
        validate_email(
            address, check_deliverability=False, test_environment=True, allow_smtputf8=False
        )
    except EmailNotValidError as error:
        return str(error)
    return None
