"""What looks like a secret, and what is shown of one that an older log holds."""

from __future__ import annotations

import pytest

from schemas.secrets import MASK, is_secret_name, is_secret_text, masked, without_secrets


@pytest.mark.parametrize(
    "name",
    [
        "MY_API_KEY",
        "API_TOKEN",
        "apiKey",
        "DB_PASSWORD",
        "GITHUB_PAT",
        "SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "CREDENTIALS",
        "PGPASS",
        "PASS",
        "SSHPASS",
        "DBPASSWORD",
        "MYSQL_PWD",
    ],
)
def test_names_that_hold_a_secret(name: str) -> None:
    """By a word of theirs."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "SSH_KEY_PATH", "TOKEN_LIMIT", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "PWD", "OLDPWD"),
        *("AUTHOR", "PASSENGER", "MONKEY", "BYPASS", "PGPASSFILE", "DATABASE_URL"),
    ],
)
def test_names_that_say_something_else(name: str) -> None:
    """A place, a number, a word that only begins alike."""
    assert not is_secret_name(name)


def test_keys_are_known_by_their_form() -> None:
    """Whatever the name."""
    assert is_secret_text("x ghp_0123456789abcdef y")
    assert is_secret_text("sk-ant-api03-abcdefgh")
    assert not is_secret_text("a skein of ghosts")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://ada:hunter2@db.example/x", f"postgres://ada:{MASK}@db.example/x"),
        ("redis://:s3cr3t@cache:6379", f"redis://:{MASK}@cache:6379"),
        ("https://ada:p@ss@host/x", f"https://ada:{MASK}@host/x"),
        ("host=db password=hunter2 dbname=x", f"host=db password={MASK} dbname=x"),
        ("Server=db;Uid=ada;Pwd=hunter2;", f"Server=db;Uid=ada;Pwd={MASK};"),
        ("AccountName=x;AccountKey=abc123==;", f"AccountName=x;AccountKey={MASK};"),
        ("psql --password=hunter2", f"psql --password={MASK}"),
        ("a\n-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nb", f"a\n{MASK}\nb"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc", MASK),
        ("sk-proj-abcdefgh1234", MASK),
        ("sk_live_abcdefgh1234", MASK),
        ("xoxb-1234567890-abc", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("x glpat-abcdefgh1234 y", f"x {MASK} y"),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {MASK}"),
    ],
)
def test_a_secret_is_known_by_its_form(text: str, shown: str) -> None:
    """Under any name; what stands around it stays."""
    assert is_secret_text(text)
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "postgres://ada@db.example/x",
        "http://localhost:8080/@scope/x",
        "ssh://git@host/x.git",
        "postgres://ada:$PGPASS@db/x",
        "postgres://ada:<password>@db/x",
        "postgres://ada:***@db/x",
        "password=$PGPASS",
        "reset_password=hunter2x",
        "ask-password=true",
        "-----BEGIN CERTIFICATE-----",
        "npm_config_cache",
    ],
)
def test_what_only_looks_alike_is_none(text: str) -> None:
    """A user without a password, a port, a variable or a gap in the place of one, a certificate."""
    assert not is_secret_text(text)
    assert without_secrets(text) == text


def test_an_older_event_is_shown_masked() -> None:
    """In the role, in the program, in its source and in modules; what an agent said is its own."""
    shown = masked(
        {
            "agent": {
                "command": ["x", "--url", "redis://:pw@h"],
                "env": {
                    "MY_API_KEY": "hunter2",
                    "TEAM": "blue",
                    "DATABASE_URL": "postgres://a:b@c",
                    "PGPASS": "swordfish",
                },
            },
            "roles": {"a": {"agentConfig": {"env": {"MY_API_KEY": "hunter2"}}}},
            "program": 'agents { a: { agentConfig: { env: { MY_API_KEY: "hunter2", TEAM: "blue" } } } }',
            "pattern_source": "env: {DB_PASSWORD: swordfish, TEAM: blue}\nMY_API_KEY: 'hunter2'",
            "modules": {"m": "// hunter2"},
            "called": {"p@1": {"program": 'env: {X_TOKEN: "abc"}', "source": ""}},
            "result": {"env": {"MY_API_KEY": "hunter2"}, "key": "value"},
        }
    )
    assert shown == {
        "agent": {
            "command": ["x", "--url", f"redis://:{MASK}@h"],
            "env": {"MY_API_KEY": MASK, "TEAM": "blue", "DATABASE_URL": MASK, "PGPASS": MASK},
        },
        "roles": {"a": {"agentConfig": {"env": {"MY_API_KEY": MASK}}}},
        "program": f'agents {{ a: {{ agentConfig: {{ env: {{ MY_API_KEY: "{MASK}", TEAM: "blue" }} }} }} }}',
        "pattern_source": f"env: {{DB_PASSWORD: {MASK}, TEAM: blue}}\nMY_API_KEY: '{MASK}'",
        "modules": {"m": f"// {MASK}"},
        "called": {"p@1": {"program": f'env: {{X_TOKEN: "{MASK}"}}', "source": ""}},
        "result": {"env": {"MY_API_KEY": "hunter2"}, "key": "value"},
    }


def test_what_holds_none_is_the_same_object() -> None:
    """Most events are not looked into."""
    data = {"execution_id": "e", "result": {"env": {"TOKEN": "x"}}}
    assert masked(data) is data
