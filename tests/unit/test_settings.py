from __future__ import annotations

from pathlib import Path

import pytest

from graph.errors import BadSetting
from services.budget import thread_tokens, thread_usd
from services.policy import Policy
from services.prices import Price, Prices, parse_prices
from services.settings import DEFAULT_OPENAI_MODEL, load

pytestmark = pytest.mark.usefixtures("environment")


def test_everything_is_finite_by_default() -> None:
    settings = load()
    assert settings.model == "offline"
    assert settings.kept() == {
        "model": "offline",
        "max_iterations": 25,
        "max_tool_calls": 50,
        "tool_limits": "",
        "max_reply_tokens": 16_384,
        "max_tokens": 200_000,
        "max_usd": 1.0,
        "max_thread_tokens": None,
        "max_thread_usd": None,
        "max_seconds": 900.0,
        "fold_share": 0.2,
        "window_tokens": None,
        "keep_tool_results": None,
        "approval_seconds": 300,
        "unproven_content": "show",
        "workspace": str(Path("examples/office").absolute()),
        "tenant": "default",
    }
    assert (thread_tokens(settings), thread_usd(settings)) == (10_000_000, 50.0)
    assert (settings.tenant_usd_per_day, settings.tenant_tool_calls_per_day) == (100, 10_000)


def test_explicit_wins_over_environment_even_when_it_equals_the_default(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("BALLAST_MAX_USD", "2")
    environment.setenv("BALLAST_MODEL", "openai:gpt-4o")
    assert load().max_usd == 2
    settings = load(max_usd=1.0, model="offline")
    assert (settings.max_usd, settings.model) == (1.0, "offline")


def test_each_variable_reaches_its_setting(environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_URL": "postgresql:///x",
        "BALLAST_HOME": "/var/lib/ballast",
        "BALLAST_WORKSPACE": "/srv/office",
        "BALLAST_ENCRYPTION_KEY": "k" * 32,
        "SMTP_URL": "smtp://mail",
        "OPENAI_API_KEY": "sk-secret-key",
        "OPENAI_BASE_URL": "http://localhost:1/v1",
        "OPENAI_TIMEOUT": "7",
        "BALLAST_PRICES": "mine=1/2, vendor/x=0/0.5",
        "BALLAST_SOMETHING_ELSE": "1",
        "UNRELATED": "1",
    }.items():
        environment.setenv(name, value)
    settings = load()
    assert settings.database_url == "postgresql:///x"
    assert str(settings.home) == "/var/lib/ballast"
    assert settings.kept()["workspace"] == "/srv/office"
    assert settings.encryption_key is not None
    assert settings.encryption_key.get_secret_value() == "k" * 32
    assert settings.smtp_url is not None
    assert settings.openai_base_url == "http://localhost:1/v1"
    assert settings.openai_timeout == 7
    assert settings.prices["vendor/x"] == Price(input_per_mtok=0, output_per_mtok=0.5)
    assert "sk-secret-key" not in repr(settings)
    assert "sk-secret-key" not in str(settings.kept())


def test_a_key_selects_a_priced_openai_model(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_API_KEY", "sk-x")
    assert load().model == DEFAULT_OPENAI_MODEL
    assert Prices({}).known(DEFAULT_OPENAI_MODEL.removeprefix("openai:"))


def test_an_empty_variable_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "")
    environment.setenv("OPENAI_API_KEY", "")
    assert load().database_url is None
    assert load().model == "offline"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "0", "lots", "1e300"])
@pytest.mark.parametrize(
    ("variable", "bound"),
    [
        ("BALLAST_MAX_USD", "a number above 0 up to 10000"),
        ("BALLAST_MAX_ITERATIONS", "a whole number from 1 to 10000"),
        ("BALLAST_MAX_SECONDS", "a number above 0 up to 604800"),
        ("OPENAI_TIMEOUT", "a number above 0 up to 3600"),
    ],
)
def test_a_bad_limit_is_one_line_with_variable_bound_and_value(
    environment: pytest.MonkeyPatch, variable: str, bound: str, value: str
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(BadSetting) as refused:
        load()
    assert str(refused.value) == f"{variable} must be {bound}, got {value!r}"


def test_a_bad_explicit_value_is_refused_like_one_of_the_environment() -> None:
    with pytest.raises(BadSetting, match="BALLAST_MAX_TOKENS must be a whole number from 1 to 100000000, got '-5'"):
        load(max_tokens=-5)
    with pytest.raises(BadSetting, match="no setting 'max_tokns'"):
        load(max_tokns=5)


def test_an_address_is_refused_without_showing_what_may_be_a_password(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("OPENAI_BASE_URL", "ftp://user:hunter2@host")
    with pytest.raises(BadSetting) as refused:
        load()
    assert str(refused.value) == "OPENAI_BASE_URL must be an http:// or https:// address"


@pytest.mark.parametrize("text", ["a", "a=1", "=1/2", "a=1/b", "a=-1/2", "a=nan/1", "a=1/inf", "ok=1/1,a=/"])
def test_a_bad_price_names_the_form(environment: pytest.MonkeyPatch, text: str) -> None:
    environment.setenv("BALLAST_PRICES", text)
    with pytest.raises(BadSetting, match=r"^BALLAST_PRICES must be NAME=input/output,\.\.\. in US dollars"):
        load()


def test_a_given_price_wins_over_the_bundled_one() -> None:
    bundled, given = Prices({}), Prices(parse_prices("gpt-4o=1/1"))
    assert bundled.usd("gpt-4o", 1_000_000, 0) == pytest.approx(2.5)
    assert bundled.usd("gpt-4o", 1_000_000, 0, cached_tokens=1_000_000) == pytest.approx(1.25)
    assert given.usd("gpt-4o", 1_000_000, 1_000_000) == pytest.approx(2.0)
    assert bundled.usd("no-such-model", 1, 1) is None


def test_a_proxy_is_priced_by_the_models_name() -> None:
    assert Prices({}, api_url="http://localhost:9/v1").usd("gpt-4o", 1_000_000, 0) == pytest.approx(2.5)


def test_a_policy_is_read_from_the_file_that_is_named_and_kept_with_no_thread(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("tools: {write_file: {risk: high}}")
    environment.setenv("BALLAST_POLICY", str(file))

    settings = load()

    assert (settings.policy.tools["write_file"].risk, settings.policy.file) == ("high", str(file))
    assert "policy" not in settings.kept()
    assert load(policy=Policy()).policy.tools == {}
    with pytest.raises(BadSetting, match=r"^BALLAST_POLICY: gone.yaml: there is no such file"):
        load(policy="gone.yaml")
    with pytest.raises(BadSetting, match=r"^BALLAST_POLICY must be "):
        load(policy=7)
