"""The templates: found and compiled at start, checked at intake, rendered before the send."""

from clarion.templates.repository import TemplateDescription, TemplateRepository

__all__ = ["TemplateDescription", "TemplateRepository"]
