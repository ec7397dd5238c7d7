"""The service itself: whether it lives, whether it can take a training, and what Prometheus is told."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service.errors import NotReady
from service.web.answers import answer
from service.web.state import Request


async def healthz(request: Request) -> Response:
    """The process answers."""
    return answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """503 until a training can be taken without waiting."""
    if reason := request.state["readiness"].reason() or request.state["store"].failing:
        raise NotReady(reason)
    request.state["runner"].check_recovered()
    return answer({"status": "ready"})


async def metrics(request: Request) -> Response:
    """For Prometheus."""
    figures = request.state["metrics"].text()
    return Response(figures, headers={"Cache-Control": "no-store"}, media_type=CONTENT_TYPE_LATEST)
