"""Looking at templates, and trying them out."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from clarion.event import content_problems
from clarion.notification import Notification, new_notification_id
from clarion.templates import TemplateRepository
from clarion_gateway import models
from clarion_gateway.endpoint import Endpoint, model_response, parse_body
from clarion_gateway.limits import Limits, read_json
from clarion_gateway.problems import unprocessable

_ID = {"template_id": "^[a-z0-9][a-z0-9_-]{0,63}$"}


class Templates:
    """The endpoints under /v1/templates."""

    def __init__(self, templates: TemplateRepository, limits: Limits) -> None:
        self._templates = templates
        self._limits = limits

    async def find(self, request: Request) -> Response:
        """List every template."""
        return model_response(
            models.TemplateList(templates=[self._view(name) for name in self._templates.names()])
        )

    async def show(self, request: Request) -> Response:
        """Show one template."""
        return model_response(self._view(request.path_params["template_id"]))

    async def preview(self, request: Request) -> Response:
        """Render a template without sending anything."""
        template_id = request.path_params["template_id"]
        asked = parse_body(
            models.PreviewRequest, await read_json(request, self._limits), "the preview"
        )
        self._templates.describe(template_id)  # an unknown one is a 404 here, not a 422
        notification = _notification(template_id, asked)
        problems = content_problems("payload", asked.payload)
        problems = problems or self._templates.check(notification)
        if problems:
            raise unprocessable(problems, "the preview")
        parts = self._templates.render(notification)
        return model_response(
            models.Preview(
                template_id=template_id, channel=asked.channel, locale=asked.locale, parts=parts
            )
        )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what is served under which path."""
        return (
            Endpoint(
                "GET",
                "/v1/templates",
                self.find,
                "listTemplates",
                "List the templates and the variables they need",
                {200: models.TemplateList},
                "Templates",
                scope="read",
            ),
            Endpoint(
                "GET",
                "/v1/templates/{template_id}",
                self.show,
                "showTemplate",
                "Show a template and the variables it needs",
                {200: models.TemplateView},
                "Templates",
                refusals=(404,),
                scope="read",
                path_patterns=_ID,
            ),
            Endpoint(
                "POST",
                "/v1/templates/{template_id}/preview",
                self.preview,
                "previewTemplate",
                "Render a template without sending it",
                {200: models.Preview},
                "Templates",
                refusals=(400, 404, 408, 413, 415, 422),
                scope="read",
                body=models.PreviewRequest,
                path_patterns=_ID,
            ),
        )

    def _view(self, template_id: str) -> models.TemplateView:
        return models.TemplateView(**asdict(self._templates.describe(template_id)))


def _notification(template_id: str, asked: models.PreviewRequest) -> Notification:
    return Notification(
        notification_id=new_notification_id(),
        message_id="preview",
        target_user_id="preview",
        channel=asked.channel,
        template_id=template_id,
        recipient="preview",
        payload=asked.payload,
        locale=asked.locale,
    )
