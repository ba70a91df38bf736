"""What a template says of its notifications beside their text: its `template.toml`."""

from __future__ import annotations

import tomllib

from pydantic import BaseModel, ConfigDict, ValidationError

from clarion.errors import TemplateInvalid
from clarion.notification import OnDoubt

FILE = "template.toml"


class TemplatePolicy(BaseModel):
    """How notifications of a template are treated; what it leaves out has its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_doubt: OnDoubt | None = None
    transactional: bool = False
    bulk: bool = False
    """Whether it goes to whom wished for no more: a receipt for what they bought, a code."""


def parse_policy(name: str, text: str) -> TemplatePolicy:
    """Return what a `template.toml` says. Raises `TemplateInvalid` naming the file and the key."""
    try:
        return TemplatePolicy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TemplateInvalid(f"{name}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        said = "is not known; there are" if first["type"] == "extra_forbidden" else None
        known = ", ".join(sorted(TemplatePolicy.model_fields))
        raise TemplateInvalid(
            f"{name}: {key}: {f'{said} {known}' if said else first['msg']}"
        ) from (error)
