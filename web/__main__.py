"""`python -m web`: what `orch web` becomes."""

from __future__ import annotations

import sys

from orch import bootstrap, logs
from orch.cli.root import code_of, tell
from orch.errors import OrchError
from web.serve import serve


def main() -> None:
    """Serve until told to stop; what is wrong before that becomes a sentence and an exit code."""
    try:
        settings = bootstrap.load()
        logs.configure(settings.log_level, settings.log_format)
        serve(settings)
    except OrchError as error:
        tell(error)
        sys.exit(code_of(error))


if __name__ == "__main__":
    main()
