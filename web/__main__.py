"""`python -m web`: what `orch web` becomes."""

from __future__ import annotations

import sys

from orch import bootstrap, logs
from orch.errors import ConfigError, OrchError
from web.serve import serve


def main() -> None:
    """Serve until told to stop; an error is two lines, and exit code 2 (settings) or 4 (service)."""
    try:
        settings = bootstrap.load()
        logs.configure(settings.log_level, settings.log_format)
        serve(settings)
    except OrchError as error:
        sys.stderr.write(f"{error.message}\n{error.suggested_fix}\n")
        sys.exit(2 if isinstance(error, ConfigError) else 4)


if __name__ == "__main__":
    main()
