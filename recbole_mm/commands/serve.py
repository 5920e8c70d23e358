"""`recbole-mm serve`: an exported folder over HTTP."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.extraction.encoder import optional
from recbole_mm.serving.exported_folder import exported_folder


def main(arguments: Arguments, say: Say) -> int:
    """Serve until Ctrl-C; return 0."""
    known = arguments.options
    if not 1 <= known.port <= 65_535:
        raise InputError(f"--port={known.port}: between 1 and 65535")
    if known.max_k < 1:
        raise InputError(f"--max-k={known.max_k}: at least 1")
    for library in ("fastapi", "prometheus_client", "uvicorn"):
        optional(library, "pip install 'recbole-mm[serve]'")
    from recbole_mm.serving.service import service_of  # noqa: PLC0415 - an extra

    folder = exported_folder(Path(known.source))
    address = f"http://{known.host}:{known.port}"
    say(f"{folder.name}: {address}/recommend?user={quote(str(folder.user_ids[0]))}&k=10; Ctrl-C ends it")
    optional("uvicorn", "").run(service_of(folder, known.max_k), host=known.host, port=known.port, log_level="warning")
    return 0
