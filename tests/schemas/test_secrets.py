"""What looks like a secret, and what is shown of one that an older log holds."""

from __future__ import annotations

import pytest

from schemas.secrets import MASK, is_secret_name, is_secret_text, masked


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
    ],
)
def test_names_that_hold_a_secret(name: str) -> None:
    """By a word of theirs."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["PATH", "SSH_KEY_PATH", "TOKEN_LIMIT", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "PWD", "AUTHOR"]
)
def test_names_that_say_something_else(name: str) -> None:
    """A place, a number, a word that only begins alike."""
    assert not is_secret_name(name)


def test_keys_are_known_by_their_form() -> None:
    """Whatever the name."""
    assert is_secret_text("x ghp_0123456789abcdef y")
    assert is_secret_text("sk-ant-api03-abcdefgh")
    assert not is_secret_text("a skein of ghosts")


def test_an_older_event_is_shown_masked() -> None:
    """In the role, in the program, in its source and in modules; what an agent said is its own."""
    shown = masked(
        {
            "agent": {"command": ["x"], "env": {"MY_API_KEY": "hunter2", "TEAM": "blue"}},
            "roles": {"a": {"agentConfig": {"env": {"MY_API_KEY": "hunter2"}}}},
            "program": 'agents { a: { agentConfig: { env: { MY_API_KEY: "hunter2", TEAM: "blue" } } } }',
            "pattern_source": "env: {DB_PASSWORD: swordfish, TEAM: blue}\nMY_API_KEY: 'hunter2'",
            "modules": {"m": "// hunter2"},
            "called": {"p@1": {"program": 'env: {X_TOKEN: "abc"}', "source": ""}},
            "result": {"env": {"MY_API_KEY": "hunter2"}, "key": "value"},
        }
    )
    assert shown == {
        "agent": {"command": ["x"], "env": {"MY_API_KEY": MASK, "TEAM": "blue"}},
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
