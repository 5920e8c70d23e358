"""A service on an exported folder: lists for users and histories, similar items, health and metrics."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, HTTPException, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException as AnyHTTPException

from recbole_mm.base.errors import InputError
from recbole_mm.serving.exported_folder import ExportedFolder
from recbole_mm.serving.request_limits import LimitedRequests, RequestCounts, refusal
from recbole_mm.serving.scorer import RowsById
from recbole_mm.serving.user_items import UserItems
from recbole_mm.serving.user_lists import UserLists, lists_after, lists_of

LONGEST_HISTORY = 1_000  # items


def _encodable(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PydanticCustomError("id", "an id that is no text in utf-8: leave it out") from error
    return name


Id = Annotated[str, AfterValidator(_encodable)]


class HistoryRequest(BaseModel):
    """Lists after a history: ids of items in the order of time."""

    history: Annotated[list[Id], Field(min_length=1, max_length=LONGEST_HISTORY)]
    k: Annotated[int, Field(ge=1)] = 20
    include_seen: bool = False


class Answers:
    """What the service answers, apart from HTTP."""

    def __init__(self, folder: ExportedFolder, most: int) -> None:
        self.folder, self.most = folder, most
        self.users, self.items = RowsById(folder.user_ids), RowsById(folder.item_ids)
        vectors = np.array(folder.items, dtype=np.float32)
        self.unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)  # (n_items, d)

    def for_user(self, user: str, k: int, include_seen: bool) -> dict[str, Any]:
        row = self._row("user", self.users, user)
        hide = None if include_seen else self.folder.seen
        return {"user": user, **self._told(next(lists_of(self.folder, np.array([row]), self._k(k), hide=hide)))}

    def after(self, history: Sequence[str], k: int, include_seen: bool) -> dict[str, Any]:
        if not self.folder.sequential:
            raise HTTPException(400, f"{self.folder.name} knows its users by their ids: ask with GET /recommend?user=")
        rows, unknown = self.items.rows(list(history))
        if not len(rows):
            raise HTTPException(404, f"no item of the history is known, such as '{unknown[0]}'")
        histories = UserItems.of_lists([rows.tolist()])
        hide = None if include_seen else histories
        try:
            found = next(lists_after(self.folder, histories, self._k(k), hide=hide))
        except InputError as error:
            raise HTTPException(501, str(error)) from error
        return {"unknown_items": unknown, **self._told(found)}

    def similar(self, item: str, k: int) -> dict[str, Any]:
        row = self._row("item", self.items, item)
        cosine = self.unit @ self.unit[row]
        cosine[row] = -np.inf
        k = min(self._k(k), len(cosine) - 1)
        best = np.argpartition(-cosine, k - 1)[:k] if k else np.zeros(0, dtype=np.int64)
        best = best[np.argsort(-cosine[best], kind="stable")]
        items = [{"item": str(self.folder.item_ids[one]), "score": float(cosine[one])} for one in best]
        return {"item": item, "items": items}

    def _told(self, lists: UserLists) -> dict[str, Any]:
        pairs = zip(lists.items[0], lists.scores[0], strict=True)
        ids = self.folder.item_ids
        return {"items": [{"item": str(ids[row]), "score": float(score)} for row, score in pairs if row >= 0]}

    def _row(self, kind: str, places: RowsById, name: str) -> int:
        row = places.of.get(name)
        if row is None:
            raise HTTPException(404, f"unknown {kind} '{name[:100]}'")
        return row

    def _k(self, k: int) -> int:
        if not 1 <= k <= self.most:
            raise HTTPException(422, f"k is {k}: between 1 and {self.most}")
        return k


def service_of(folder: ExportedFolder, most: int = 200) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    most : int
        Longest list that is answered.
    """

    @asynccontextmanager
    async def one_thread_a_core(_: object) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = os.cpu_count() or 1  # more would wait for each other
        yield

    app = FastAPI(title=f"recbole-mm: {folder.name}", docs_url="/docs", redoc_url=None, lifespan=one_thread_a_core)
    answers = Answers(folder, most)
    counts = RequestCounts()
    app.add_middleware(LimitedRequests, counts=counts)

    @app.exception_handler(AnyHTTPException)
    async def refused(_: object, error: AnyHTTPException) -> JSONResponse:
        return refusal(error.status_code, error.detail)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: object, error: RequestValidationError) -> JSONResponse:
        return refusal(422, _invalid(error))

    @app.exception_handler(Exception)
    async def failed(_: object, error: Exception) -> JSONResponse:
        return refusal(500, "an error of the service: its log has more")

    @app.get("/recommend")
    def recommend(
        user: Annotated[str, Query(max_length=1000)], k: int = 20, include_seen: bool = False
    ) -> JSONResponse:
        return JSONResponse(answers.for_user(user, k, include_seen))

    @app.post("/recommend")
    def recommend_after(asked: HistoryRequest) -> JSONResponse:
        return JSONResponse(answers.after(asked.history, asked.k, asked.include_seen))

    @app.get("/similar")
    def similar(item: Annotated[str, Query(max_length=1000)], k: int = 20) -> JSONResponse:
        return JSONResponse(answers.similar(item, k))

    @app.get("/health")
    def health() -> dict[str, Any]:
        card = folder.card
        return {"status": "ok", "model": card.model, "dataset": card.dataset, "users": card.users,
                "items": card.items, "made": card.made}  # fmt: skip

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(counts.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _invalid(error: RequestValidationError) -> str:
    """Return the first mistake of a request, and where it is."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        byte = len(error.body[: first["loc"][1]].encode("utf-8", "surrogatepass"))
        return f"the body is no valid JSON, from byte {byte} on: {first['ctx']['error']}"
    return f"{'.'.join(map(str, first['loc'][1:])) or 'body'}: {first['msg']}"
