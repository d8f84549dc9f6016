"""A typed Python client of the API, made from its description (``make client``).

python -m tests.generated_client .bellwether/client
"""

from __future__ import annotations

import sys
from pathlib import Path

import openapi_python_client
from openapi_python_client.config import Config, ConfigFile, MetaType

PACKAGE = "bellwether_client"
DESCRIPTION = Path(__file__).resolve().parents[1] / "docs" / "openapi.yaml"


def make(folder: Path) -> list[str]:
    """Write the client, a project of its own, into the folder; what could not be made of the description."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = Config.from_sources(
        ConfigFile(project_name_override="bellwether-client", package_name_override=PACKAGE, post_hooks=[]),
        MetaType.SETUP, document_source=DESCRIPTION, file_encoding="utf-8", overwrite=True, output_path=folder,
    )  # fmt: skip
    return [f"{error.header} {error.detail or ''}".strip() for error in openapi_python_client.generate(config=config)]


if __name__ == "__main__":
    left_out = make(Path(sys.argv[1]))
    sys.stdout.write("".join(f"{line}\n" for line in [*left_out, f"The client is in {sys.argv[1]}."]))
    sys.exit(bool(left_out))
