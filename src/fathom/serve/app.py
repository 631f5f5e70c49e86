"""The ASGI application: FastAPI's routes behind the middleware `Admission`.

service = Service(open_session(settings), RewardSettings(), ServeSettings())
app = application(service)                   # an ASGI application, for uvicorn or any other server
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

import fathom
from fathom.serve import native
from fathom.serve.admission import Admission
from fathom.serve.core import Core
from fathom.serve.dialects import DIALECTS
from fathom.serve.errors import answer_error
from fathom.serve.metrics import Metrics
from fathom.serve.service import Service

PAGE = Path(__file__).parent / "page.html"
DESCRIPTION = "Verdicts, rankings and rewards. What could not be scored is null with a reason, never a number."


def application(service: Service, tokens: tuple[bytes, ...] = ()) -> Admission:
    """The server as an ASGI application. With `tokens` (their SHA-256), requests must carry one of them."""
    metrics = Metrics(service.session.metered)
    core = Core(service, metrics)
    # FastAPI's own pages would make the browser load scripts from another server.
    app = FastAPI(title="Fathom", version=fathom.__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    app.include_router(native.router(core))
    for name in DIALECTS.names():
        app.include_router(DIALECTS.find(name)(core))
    app.include_router(_status_routes(service, metrics))
    for error in (RequestValidationError, StarletteHTTPException):
        app.add_exception_handler(error, answer_error)
    return Admission(app, service, metrics, tokens)


def _status_routes(service: Service, metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["Status"])

    @routes.get("/health", summary="Whether the process is alive")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/ready", summary="Whether requests are taken; 503 if not")
    async def ready() -> Response:
        refusal = service.health.refusal()
        reason = refusal.reason if refusal else None if service.health.ready else "the server is starting"
        return JSONResponse({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    @routes.get("/metrics", summary="Metrics in Prometheus' format", include_in_schema=False)
    async def metrics_text() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @routes.get("/", include_in_schema=False)
    @routes.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"content-security-policy": POLICY})

    return routes


POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
"""The page loads nothing from other servers, and sends requests to this one only."""
