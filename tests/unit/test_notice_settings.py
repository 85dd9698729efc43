"""Settings of notices: what is refused, in which words, and what never shows."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from orch import bootstrap, config
from orch.config import Settings, load_settings
from orch.errors import ConfigError
from orch.notice_settings import KINDS, MailServer, keys, mail_server

PASSWORD = "hunter2"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HOOK = {
    "ORCH_NOTIFY_WEBHOOK_URL": "https://hooks.example.org/T0/secret-path",
    "ORCH_NOTIFY_WEBHOOK_SECRET": SECRET,
}
MAIL = {
    "ORCH_NOTIFY_SMTP_URL": f"smtps://orch:{PASSWORD}@mail.example.org",
    "ORCH_NOTIFY_MAIL_FROM": "orch@example.org",
    "ORCH_NOTIFY_MAIL_TO": "ann@example.org, ops@example.org",
}


def loaded(folder: Path, **environ: str) -> Settings:
    return load_settings(environ, folder)


def problems(folder: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(environ, folder)
    return refused.value.message


def test_both_channels_come_from_whole_settings(tmp_path: Path) -> None:
    settings = loaded(tmp_path, **HOOK, **MAIL, ORCH_NOTIFY_KINDS="frozen, parked")
    wanted = bootstrap.build_subscription(settings)
    assert wanted.kinds == {"frozen", "parked"}
    names = [channel.name for channel in bootstrap.build_channels(settings)]
    assert tuple(names) == wanted.channels == ("webhook", "mail")


def test_nothing_given_tells_nobody(tmp_path: Path) -> None:
    wanted = bootstrap.build_subscription(loaded(tmp_path))
    assert (wanted.channels, wanted.kinds) == ((), frozenset(KINDS))
    assert bootstrap.build_channels(loaded(tmp_path)) == []


@pytest.mark.parametrize("missing", [*HOOK, *MAIL])
def test_half_a_channel_is_refused(tmp_path: Path, missing: str) -> None:
    whole = {**HOOK, **MAIL}
    del whole[missing]
    assert "go together" in problems(tmp_path, **whole)


BAD = {
    "NOTIFY_WEBHOOK_URL": [
        "ftp://h/x", "https://", "h/x", f"https://u:{PASSWORD}@h/x", "https://h/x#y", "http://h/ x",
        "http://h:99999/", "http://[::1/", "http://h/\r\nX: y",
    ],
    "NOTIFY_WEBHOOK_SECRET": ["whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "plain words", "x" * 200],
    "NOTIFY_SMTP_URL": [
        "http://h", f"smtp://u:{PASSWORD}@h", "smtps://u@h", "smtps://h/path", "smtps://h?x=1",
        "smtps://", f"smtps://u:{PASSWORD}@h:port",
    ],
    "NOTIFY_MAIL_FROM": ["ann", "a@b@c", "Ann <a@b.org>", "a@b.org\r\nBcc: c@d.org", "@b.org"],
    "NOTIFY_MAIL_TO": ["a@b.org,nobody", "a@b.org\nc@d.org"],
    "NOTIFY_KINDS": ["frozen,thawed"],
    "WEB_URL": ["orch.example.org", "https://u:p@h", "https://h/?x", "javascript:alert(1)"],
    "HEAD_WATCH_SECONDS": ["-1", "nan", "inf", "99999999", "soon"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_values_that_cannot_be_used_are_refused_by_name_and_not_repeated(
    tmp_path: Path, name: str, value: str
) -> None:
    told = problems(tmp_path, **{**HOOK, **MAIL, f"ORCH_{name}": value})
    assert name.lower() in told.lower()
    assert PASSWORD not in told


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = loaded(tmp_path, **HOOK, **MAIL)
    for told in (repr(settings), str(config.shown(settings))):
        for hidden in (PASSWORD, SECRET, "secret-path"):
            assert hidden not in told


@pytest.mark.parametrize(
    "line", [f'notify_webhook_secret = "{SECRET}"', f'notify_smtp_url = "smtps://u:{PASSWORD}@h"']
)
def test_secrets_do_not_belong_into_the_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "orch.toml").write_text(line)
    told = problems(tmp_path)
    assert "holds a password" in told
    assert PASSWORD not in told


def test_logs_of_agents_show_no_secret_of_a_channel(tmp_path: Path) -> None:
    masked = bootstrap._secrets(loaded(tmp_path, **HOOK, **MAIL))
    assert {PASSWORD, SECRET, HOOK["ORCH_NOTIFY_WEBHOOK_URL"]} <= set(masked)


def test_a_mail_server_is_read_from_its_url() -> None:
    assert mail_server("smtp://h") == MailServer("h", 25, "plain")
    assert mail_server("smtp+starttls://h:2525") == MailServer("h", 2525, "starttls")
    escaped = mail_server("smtps://o%40h:p%3Aw%2F@mail.example.org")
    assert escaped == MailServer("mail.example.org", 465, "tls", "o@h", "p:w/")


def test_several_secrets_stand_side_by_side_with_or_without_padding() -> None:
    unpadded = SECRET.rstrip("=")
    assert keys(f"{SECRET} {unpadded},{SECRET}") == [b"k" * 32] * 3
    assert keys("") == []


def test_all_that_is_no_secret_may_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text(
        'notify_webhook_url = "https://hooks.example.org/orch"\nweb_url = "https://o.example.org/"\n'
        'notify_kinds = ["parked"]\nnotify_mail_from = "o@example.org"\n'
        'notify_mail_to = ["a@example.org"]\n'
    )
    secrets = {"ORCH_NOTIFY_WEBHOOK_SECRET": SECRET}
    secrets["ORCH_NOTIFY_SMTP_URL"] = MAIL["ORCH_NOTIFY_SMTP_URL"]
    settings = loaded(tmp_path, **secrets)
    assert (settings.web_url, settings.notify_kinds) == ("https://o.example.org", ("parked",))
    assert bootstrap.build_subscription(settings).channels == ("webhook", "mail")
