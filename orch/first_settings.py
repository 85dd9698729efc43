"""The first settings: `orch.toml` and `.env` written from answers, both or neither.

They are laid down beside their place and tried there with what reads settings always; only what can
be used is put in place.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from orch.config import PREFIX, SECRETS, Settings
from orch.errors import AlreadyThere, BadInput

SECRET_FILE, OPEN_FILE = ".env", "orch.toml"
REPLACED: Final = Path(".orch", "replaced")
"""Where what was there before is kept: in the data folder, which walls hide from agents."""
Table = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class FirstSettings:
    """What somebody answered."""

    values: Mapping[str, str]
    """Settings by their names, as the environment would say them."""
    tables: Mapping[str, Mapping[str, Table]] = field(default_factory=dict)
    """`repos`, `agents` and `trackers`, each by name."""

    def texts(self) -> dict[str, str]:
        """The two files. Whatever is secret stands in the one that is not committed. Raises
        BadInput."""
        hidden = {name: text for name, text in self.values.items() if name in SECRETS}
        shown = {name: text for name, text in self.values.items() if name not in SECRETS}
        return {SECRET_FILE: _environment(hidden), OPEN_FILE: _toml(shown, self.tables)}


def insist_on(setting: str, said: str) -> None:
    """Raises BadInput where this setting, by itself, cannot be that."""
    try:
        Settings.model_validate({setting: said})
    except ValidationError as error:
        raise BadInput(f"{setting}: {error.errors()[0]['msg']}.", field=setting) from None


def refuse_what_is_there(folder: Path) -> None:
    """Raises AlreadyThere where one of the files is in the folder."""
    there = [name for name in (OPEN_FILE, SECRET_FILE) if os.path.lexists(folder / name)]
    if there:
        raise AlreadyThere(
            f"{' and '.join(there)} stand{'' if len(there) > 1 else 's'} in {folder} already.",
            suggested_fix="Change it by hand, or say --force: what is there is then kept in "
            f"{REPLACED}.",
        )


def write(
    folder: Path, texts: Mapping[str, str], tried: Callable[[Path], None], *, force: bool
) -> list[Path]:
    """Put the files in place once `tried`, given a folder that holds them, lets them pass.

    Answers with where files that stood there before are kept. Raises what `tried` raises, and
    AlreadyThere unless `force`; then, and after any other fault, everything is as it was.
    """
    if not force:
        refuse_what_is_there(folder)
    try:
        # In the same folder, so that a name is all that changes at the end.
        with tempfile.TemporaryDirectory(prefix=".orch-init-", dir=folder) as staged:
            for name, text in texts.items():
                _lay_down(Path(staged) / name, text)
            tried(Path(staged))
            return _put_in_place(Path(staged), folder, list(texts), force=force)
    except FileExistsError:  # somebody was faster
        refuse_what_is_there(folder)
        raise
    except UnicodeEncodeError as error:
        raise BadInput("An answer holds bytes that are no text.") from error
    except OSError as error:
        said = f"The files cannot be written into {folder}: {error.strerror or error}."
        raise BadInput(said, suggested_fix="Let this user write there.") from error


def _lay_down(path: Path, text: str) -> None:
    """From the first moment, nobody else may read what holds secrets."""
    mode = 0o600 if path.name == SECRET_FILE else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(staged: Path, folder: Path, files: Sequence[str], *, force: bool) -> list[Path]:
    kept: dict[str, Path] = {}
    done: list[str] = []
    try:
        for name in files:
            if force and (folder / name).exists():
                kept[name] = _kept(folder, name)
            if force:
                (staged / name).replace(folder / name)
            else:
                os.link(staged / name, folder / name)  # unlike a rename it takes no one's place
            done.append(name)
    except OSError:
        for name in done:
            _take_back(folder / name, kept.get(name))
        raise
    return list(kept.values())


def _kept(folder: Path, name: str) -> Path:
    """A copy of the file, readable by this user alone."""
    (folder / REPLACED).mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = (folder / REPLACED / f"{name}.{number}" for number in count(1))
    path = next(each for each in paths if not each.exists())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
        copy.write((folder / name).read_bytes())
    return path


def _take_back(path: Path, before: Path | None) -> None:
    with suppress(OSError):
        if before is None:
            path.unlink()
        else:
            shutil.copyfile(before, path)


# --- the texts --------------------------------------------------------------------------------


def _environment(values: Mapping[str, str]) -> str:
    lines = ["# Secrets of orch: for its user alone, and not to be committed.", ""]
    for name, text in sorted(values.items()):
        if not text.isprintable():
            raise BadInput(f"{name} holds a line break or another character that cannot be seen.")
        # Always quoted, with what the value does not end by, for shells and people; orch itself
        # takes one pair of quotes away and reads the rest as it stands.
        mark = '"' if "'" in text else "'"
        lines.append(f"{PREFIX}{name.upper()}={mark}{text}{mark}")
    return "\n".join(lines) + "\n"


def _toml(values: Mapping[str, str], tables: Mapping[str, Mapping[str, Table]]) -> str:
    lines = ["# The settings of orch. `orch check` shows all of them; secrets stand in .env.", ""]
    lines += [f"{name} = {_quoted(text)}" for name, text in sorted(values.items())]
    for kind, named in tables.items():
        for name, table in named.items():
            lines += ["", f"[{kind}.{_quoted(name)}]"]
            lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _value(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return f"[{', '.join(_quoted(each) for each in value)}]"


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, which lets one character through that TOML does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
