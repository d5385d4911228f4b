"""Settings: every name is known, every bad value is refused with what was expected, and no secret is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from parallax.stack.plan import SERVICES
from shared.config import AGENT_NAMES, FIELDS, BadSettings, Settings, load

ROOT = Path(__file__).parents[2]

PROMISED = [
    "NATS_URL",
    "DATABASE_URL",
    "ETCD_ENDPOINTS",
    "REDIS_URL",
    "PATTERNS_DIR",
    "WORKSPACES_DIR",
    "LOCAL_RUNTIME_URL",
    "DOCKER_RUNTIME_URL",
    "K8S_RUNTIME_URL",
    "GITHUB_APP_ID",
    "GITHUB_PRIVATE_KEY",
    "GITHUB_PRIVATE_KEY_PATH",
    "GITHUB_BASE_URL",
    "EXECUTION_ENGINE",
    "AGENT_TIMEOUT",
    "AGENT_RETRIES",
    "MAX_CONCURRENCY",
    "CB_FAILURE_THRESHOLD",
    "CB_RESET_TIMEOUT",
    "RATE_LIMIT_MAX",
    "RATE_LIMIT_WINDOW",
    "CACHE_ENABLED",
    "CACHE_TTL",
    "CACHE_CONFIDENCE_THRESHOLD",
    "CACHE_MAX_ENTRIES",
    "TRACING_ENABLED",
    "JAEGER_ENDPOINT",
    "API_URL",
    "API_KEY",
    "DATA",
    "REQUIRE",
]

GOOD: list[tuple[str, str, object]] = [
    ("NATS_URL", "nats://a:4222,tls://b:4223", "nats://a:4222,tls://b:4223"),
    ("DATABASE_URL", "postgresql://ada@db/parallax", "postgresql://ada@db/parallax"),
    ("DATABASE_URL", "postgresql:///parallax?host=/run/pg", "postgresql:///parallax?host=/run/pg"),
    ("ETCD_ENDPOINTS", "localhost:2379", ("http://localhost:2379",)),
    ("ETCD_ENDPOINTS", "a:2379, https://b:2379/", ("http://a:2379", "https://b:2379")),
    ("REDIS_URL", "redis://localhost:6379/0", "redis://localhost:6379/0"),
    ("PATTERNS_DIR", "./patterns", Path("patterns")),
    ("WORKSPACES_DIR", "~/work", Path.home() / "work"),
    ("K8S_RUNTIME_URL", "http://runtime:8083", "http://runtime:8083"),
    ("GITHUB_APP_ID", "12345", "12345"),
    ("EXECUTION_ENGINE", "false", False),
    ("AGENT_TIMEOUT", "30000", 30_000),
    ("AGENT_RETRIES", "0", 0),
    ("CACHE_ENABLED", "On", True),
    ("CACHE_CONFIDENCE_THRESHOLD", "0.8", 0.8),
    ("JAEGER_ENDPOINT", "http://jaeger:14268/api/traces", "http://jaeger:14268/api/traces"),
    ("REQUIRE", "nats, postgres", frozenset({"nats", "postgres"})),
]

BAD = [
    ("NATS_URL", "localhost:4222"),
    ("NATS_URL", "nats://"),
    ("NATS_URL", "nats://a:4222,"),
    ("NATS_URL", "nats://a:99999"),
    ("NATS_URL", "nats://a b:4222"),
    ("DATABASE_URL", "mysql://db/parallax"),
    ("ETCD_ENDPOINTS", ","),
    ("ETCD_ENDPOINTS", "etcd://a:2379"),
    ("REDIS_URL", "localhost"),
    ("API_URL", "http:///x"),
    ("API_URL", "http://[::1"),
    ("GITHUB_APP_ID", "  "),
    ("GITHUB_APP_ID", "\udcff"),
    ("DATA", "\udcff/x"),
    ("NATS_URL", "nats://\udcff:4222"),
    ("EXECUTION_ENGINE", "maybe"),
    ("AGENT_TIMEOUT", "30s"),
    ("AGENT_TIMEOUT", "0"),
    ("AGENT_TIMEOUT", "-1"),
    ("AGENT_RETRIES", "101"),
    ("MAX_CONCURRENCY", "1.5"),
    ("CB_FAILURE_THRESHOLD", "9" * 5000),
    ("CACHE_TTL", "-1"),
    ("CACHE_CONFIDENCE_THRESHOLD", "1.01"),
    ("CACHE_CONFIDENCE_THRESHOLD", "nan"),
    ("LOG_LEVEL", "loud"),
    ("NOTIFY_FD", "stdout"),
]


def test_every_promised_setting_is_known() -> None:
    """All names that documentation and scripts rely on exist."""
    assert [name for name in PROMISED if f"PARALLAX_{name}" not in FIELDS] == []


def test_every_setting_fills_an_attribute_of_its_own() -> None:
    """A setting without an attribute, or an attribute that no setting can fill, is a mistake."""
    assert sorted(field.attribute for field in FIELDS.values()) == sorted(Settings.__struct_fields__)


def test_the_defaults_are_the_promised_ones() -> None:
    """Without a single setting, the documented defaults hold."""
    settings = load({})
    assert settings.etcd_endpoints == ("http://localhost:2379",)
    assert (settings.patterns_dir, settings.workspaces_dir) == (Path("patterns"), Path(".workspaces"))
    assert (settings.execution_engine, settings.agent_timeout_ms, settings.agent_retries) == (True, 30_000, 2)
    assert (settings.max_concurrency, settings.cb_failure_threshold, settings.cb_reset_timeout_ms) == (10, 5, 30_000)
    assert (settings.rate_limit_max, settings.rate_limit_window_ms) == (100, 60_000)
    assert (settings.cache_ttl_s, settings.cache_confidence_threshold, settings.cache_max_entries) == (300, 0.8, 1000)


@pytest.mark.parametrize(("name", "text", "expected"), GOOD)
def test_a_good_value_is_read(name: str, text: str, expected: object) -> None:
    """Each kind of setting is read from its text."""
    assert getattr(load({f"PARALLAX_{name}": text}), FIELDS[f"PARALLAX_{name}"].attribute) == expected


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_is_refused_with_what_was_expected(name: str, text: str) -> None:
    """The sentence has the name and the expectation, and stays a sentence however long the value is."""
    with pytest.raises(BadSettings) as refused:
        load({f"PARALLAX_{name}": text})
    [problem] = refused.value.problems
    assert problem.startswith(f"PARALLAX_{name} is ")
    assert problem.endswith(f"but {FIELDS[f'PARALLAX_{name}'].expected} was expected.")
    assert len(problem) < 300


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Nobody mends one setting only to learn of the next."""
    with pytest.raises(BadSettings) as refused:
        load({"PARALLAX_AGENT_RETRIES": "many", "PARALLAX_NATS_ULR": "x", "PARALLAX_API_URL": "ftp://x"})
    assert len(refused.value.problems) == 3


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    """A misspelt setting is not silently ignored."""
    with pytest.raises(BadSettings, match=r"PARALLAX_NATS_ULR is no setting; did you mean PARALLAX_NATS_URL\?"):
        load({"PARALLAX_NATS_ULR": "nats://a:4222"})


def test_an_empty_variable_is_not_set() -> None:
    """`PARALLAX_REDIS_URL=` in a file of variables means the default."""
    assert load({"PARALLAX_REDIS_URL": "", "PARALLAX_AGENT_RETRIES": ""}) == Settings()


def test_other_variables_are_nobodys_business() -> None:
    """Only names that begin with PARALLAX_ are read."""
    assert load({"NATS_URL": "x", "PATH": "/bin", "parallax_nats_url": "x"}) == Settings()


def test_what_a_runtime_tells_an_agent_is_no_unknown_setting() -> None:
    """A `parallax` command that an agent or an oracle types works in the environment of a turn."""
    assert load(dict.fromkeys(AGENT_NAMES, "x")) == Settings()
    said: set[str] = set()
    for path in (ROOT / "services" / "runtime_local").glob("*.py"):
        said |= set(re.findall(r'"(PARALLAX_[A-Z_]+[A-Z])"', path.read_text(encoding="utf-8")))
    assert said <= AGENT_NAMES | set(FIELDS)


def test_a_file_gives_settings_and_the_environment_wins(tmp_path: Path) -> None:
    """PARALLAX_CONFIG names a TOML file: names in lower case, tables as prefixes, lists for commas."""
    file = tmp_path / "parallax.toml"
    file.write_text(
        'nats_url = "nats://file:4222"\nagent_retries = 5\netcd_endpoints = ["a:1", "b:2"]\nexecution_engine = false\n'
        "[cache]\nttl = 60\nconfidence_threshold = 0.5\nenabled = true\n",
        encoding="utf-8",
    )
    settings = load({"PARALLAX_CONFIG": str(file), "PARALLAX_AGENT_RETRIES": "1"})
    assert (settings.nats_url, settings.agent_retries) == ("nats://file:4222", 1)
    assert settings.etcd_endpoints == ("http://a:1", "http://b:2")
    assert (settings.cache_ttl_s, settings.cache_confidence_threshold, settings.cache_enabled) == (60, 0.5, True)
    assert settings.execution_engine is False


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nats_ulr = 'x'\n", "PARALLAX_NATS_ULR is no setting"),
        (b"agent_retries = 'many'\n", "PARALLAX_AGENT_RETRIES is 'many'"),
        (b"agent_retries = \n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """A file is held to the same rules as the environment."""
    file = tmp_path / "parallax.toml"
    file.write_bytes(content)
    with pytest.raises(BadSettings, match=re.escape(said)):
        load({"PARALLAX_CONFIG": str(file)})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Settings that cannot be read are not taken for defaults."""
    with pytest.raises(BadSettings, match="cannot be read: No such file"):
        load({"PARALLAX_CONFIG": str(tmp_path / "none.toml")})
    with pytest.raises(BadSettings, match="cannot be read: Is a directory"):
        load({"PARALLAX_CONFIG": str(tmp_path)})


SECRETS = {
    "PARALLAX_API_KEY": "hush-key-1,hush-key-2",
    "PARALLAX_GITHUB_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\nhush-pem\n-----END RSA PRIVATE KEY-----",
    "PARALLAX_NATS_URL": "nats://ada:hush-nats@a:4222,nats://ada:hush-other@b:4222",
    "PARALLAX_DATABASE_URL": "postgresql://ada:hush%40db@db/parallax?password=hush-query",
    "PARALLAX_REDIS_URL": "redis://:hush-redis@localhost:6379",
    "PARALLAX_ETCD_ENDPOINTS": "http://root:hush-etcd@etcd:2379",
}


def test_no_secret_is_in_the_repr() -> None:
    """Settings that end up in a traceback or a log line show no key and no password."""
    settings = load(SECRETS)
    assert "hush" not in repr(settings)
    assert "hush" not in f"{settings} {[settings]}"
    assert "ada" in repr(settings)
    known = settings.secrets()
    assert {"hush-key-1", "hush-key-2", "hush-nats", "hush-other", "hush@db", "hush-query", "hush-redis"} <= set(known)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_is_in_a_complaint(name: str) -> None:
    """What is said about a bad value does not show it where it may hold a secret."""
    bad = "   " if "KEY" in name else f"x{SECRETS[name]}"
    with pytest.raises(BadSettings) as refused:
        load({name: bad})
    assert "hush" not in str(refused.value)
    assert name in str(refused.value)


def test_settings_cannot_be_changed() -> None:
    """One process has one set of settings from beginning to end."""
    settings = load({})
    with pytest.raises((AttributeError, TypeError, msgspec.ValidationError)):
        settings.api_key = "x"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    "arguments",
    [
        *([f"services.{name}"] for name in SERVICES),
        ["parallax", "ps"],
        ["parallax", "patterns", "list"],
        ["parallax", "status"],
        ["parallax", "up"],
    ],
    ids=" ".join,
)
def test_bad_settings_end_every_program_with_2(arguments: list[str], tmp_path: Path) -> None:
    """Every service and every command refuses bad settings with a sentence for each, before it does anything."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=kept | {"PARALLAX_AGENT_RETRYS": "3", "PARALLAX_MAX_CONCURRENCY": "none", "HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "PARALLAX_AGENT_RETRYS is no setting; did you mean PARALLAX_AGENT_RETRIES?" in ended.stderr
    assert "PARALLAX_MAX_CONCURRENCY is 'none', but a whole number from 1 was expected." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_help_is_given_whatever_the_settings(tmp_path: Path) -> None:
    """Whoever looks for the right name of a setting is not turned away."""
    ended = subprocess.run(
        [sys.executable, "-m", "parallax", "up", "--help"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PARALLAX_NONSENSE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
