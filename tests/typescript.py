"""The page's types, made from the OpenAPI document. `make types` writes them; a test tells when that is due."""

import json
import subprocess
from pathlib import Path
from typing import Any

from service.trainings.catalog import Catalog
from service.trainings.schema import train_schema
from service.web import openapi
from service.web.calls import CALLS

ROOT = Path(__file__).parent.parent
TYPES = ROOT / "static" / "types.d.ts"
MAKER = ROOT / "node_modules" / "openapi-typescript" / "bin" / "cli.js"


def installed_document() -> dict[str, Any]:
    """The document for the installed Ultralytics, as `GET /openapi.json` has it."""
    from AI.model_trainer.ultralytics.arguments import describe

    document: dict[str, Any] = json.loads(json.dumps(openapi.document(CALLS, train_schema(Catalog.of(describe())))))
    return document


def typescript(document: dict[str, Any], folder: Path) -> str:
    """The named types of a document as TypeScript; `folder` is for what lies about meanwhile."""
    source, made = folder / "types.json", folder / "types.d.ts"
    source.write_text(json.dumps({**document, "paths": {}}))
    options = [
        "--root-types",
        "--root-types-no-schema-prefix",
        "--default-non-nullable",
        "false",
        "--output",
        str(made),
    ]
    subprocess.run(["node", str(MAKER), str(source), *options], check=True, capture_output=True, cwd=folder)
    return made.read_text()


def main() -> None:
    """Write the page's types."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        TYPES.write_text(typescript(installed_document(), Path(folder)))


if __name__ == "__main__":
    main()
