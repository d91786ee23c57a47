"""Harbor's error body, `{"errors": [{"code": ..., "message": ...}]}`."""

from collections.abc import Mapping

from lab.release.standin.web import Response

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    412: "PRECONDITION",
    422: "UNPROCESSABLE_ENTITY",
    429: "TOO_MANY_REQUEST",
}


class ApiError(Exception):
    """An answer that is an error; 500 and above are masked for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or CODES.get(status, "UNKNOWN")
        self.headers = headers or {}

    def response(self) -> Response:
        """As Harbor sends it."""
        masked = self.status >= 500
        code, message = (
            ("UNKNOWN", "internal server error") if masked else (self.code, self.message)
        )
        body = {"errors": [{"code": code, "message": message}]}
        return Response.json(body, self.status, self.headers)


def not_found(what: str, name: object) -> ApiError:
    """404 with Harbor's usual words."""
    return ApiError(404, f"{what} {name} not found")
