"""Configuration: which source wins, what is refused and how that is worded, and secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from famulus import Plugin, Secret, Settings, setting
from famulus.config import Config, load_config, plugin_settings
from famulus.discover import found_class
from famulus.kernel import Kernel
from famulus.mistakes import ConfigError
from famulus.testing import make_kernel


class MailSettings(Settings, frozen=True):
    """Settings of every kind."""

    host: str = "localhost"
    port: Annotated[int, setting(env="MAIL_PORT", flag="--mail-port", why="The port.")] = 25
    wait_s: float = 1.5
    tls: bool = False
    names: list[str] = []
    token: Secret | None = None


class Mail(Plugin[MailSettings]):
    """Has settings of every kind."""

    name = "mail"


def loaded(
    tmp_path: Path,
    toml: str = "",
    *,
    environment: dict[str, str] | None = None,
    flags: dict[str, dict[str, Any]] | None = None,
) -> Config:
    path = tmp_path / "famulus.toml"
    path.write_text(toml)
    return load_config(path, environment=environment or {}, flags=flags)


def mail(config: Config) -> MailSettings:
    return plugin_settings(config, "mail", MailSettings)


# --- which source wins ---------------------------------------------------------------------------

FILE = "[server]\nport = 1\n[plugins.mail]\nport = 1\nhost = 'file'\n"


def test_a_file_is_over_the_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path, FILE)
    assert (config.server.port, config.server.host) == (1, "127.0.0.1")
    assert (mail(config).port, mail(config).wait_s) == (1, 1.5)


def test_the_environment_is_over_the_file(tmp_path: Path) -> None:
    environment = {"FAMULUS_PORT": "2", "MAIL_PORT": "2", "FAMULUS_MAIL__HOST": "variable"}
    config = loaded(tmp_path, FILE, environment=environment)
    assert config.server.port == 2
    assert (mail(config).port, mail(config).host) == (2, "variable")


def test_flags_are_over_the_environment(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        FILE,
        environment={"FAMULUS_PORT": "2", "MAIL_PORT": "2", "FAMULUS_MAIL__PORT": "2"},
        flags={"server": {"port": "3"}, "mail": {"port": "3"}},
    )
    assert config.server.port == 3
    assert mail(config).port == 3


def test_every_setting_has_a_variable_by_its_table_and_key(tmp_path: Path) -> None:
    environment = {"FAMULUS_MAIL__WAIT_S": "0.5", "FAMULUS_SERVER__DRAIN_S": "7"}
    config = loaded(tmp_path, environment=environment)
    assert mail(config).wait_s == 0.5
    assert config.server.drain_s == 7


def test_a_variable_gives_a_list_with_commas_and_a_switch_in_words(tmp_path: Path) -> None:
    environment = {"FAMULUS_MAIL__NAMES": "ada, bob", "FAMULUS_MAIL__TLS": "true"}
    config = loaded(tmp_path, environment=environment)
    assert mail(config).names == ["ada", "bob"]
    assert mail(config).tls is True


def test_a_variable_chooses_a_port(tmp_path: Path) -> None:
    config = loaded(
        tmp_path, "[ports]\nrecords = 'sqlite'", environment={"FAMULUS_PORTS__RECORDS": "postgres"}
    )
    assert config.ports == {"records": "postgres"}


def test_without_a_file_there_are_defaults() -> None:
    config = load_config(None, environment={})
    assert (config.server.port, config.source) == (8400, "defaults")


@pytest.mark.parametrize(("word", "enabled"), [("true", True), ("0", False), ("off", False)])
def test_a_variable_switches_a_plugin(word: str, enabled: bool, tmp_path: Path) -> None:
    config = loaded(tmp_path, environment={"FAMULUS_MAIL__ENABLED": word})
    assert config.plugin("mail").enabled is enabled
    assert "enabled" not in config.plugin("mail").values


def test_a_flag_switches_a_plugin_over_the_file(tmp_path: Path) -> None:
    toml = "[plugins.mail]\nenabled = false\nrequired = true"
    config = loaded(tmp_path, toml, flags={"mail": {"enabled": True}})
    assert config.plugin("mail").enabled is True
    assert config.plugin("mail").required is True


# --- what is refused, and how it is worded -------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[server]\nprot = 1", r"[server] has no setting 'prot'; it has host, port, data_dir"),
        ("[server]\nport = 'x'", "[server]: Expected `int`, got `str` - at `port`"),
        ("[srever]\nport = 1", "unknown table [srever]; there are [server], [ports] and"),
        ("[plugins.mail]\nenabled = 'maybe'", "[plugins.mail] enabled must be true or false"),
        ("[plugins.mail]\nrequired = 3", "[plugins.mail] required must be true or false"),
        ("plugins = 3", "[plugins] must be a table"),
        ("[plugins]\nmail = 3", "[plugins.mail] must be a table"),
        ("server = []", "[server] must be a table"),
        ("[ports]\nrecords = 3", "[ports] records must be a plugin's name, as text"),
        ("port = ", "not valid TOML: "),
    ],
)
def test_a_mistake_is_told_with_file_table_and_key(toml: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, toml)
    place = re.escape(str(tmp_path / "famulus.toml")) + r"(:[12])?: "
    assert re.match(place, str(error.value))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("hots = 'x'", "[plugins.mail] has no setting 'hots'; it has host, port, wait_s, tls"),
        ("port = true", "[plugins.mail]: Expected `int`, got `bool` - at `port`"),
        ("names = [1]", "[plugins.mail]: Expected `str`, got `int` - at `names[0]`"),
        ("token = 3", "[plugins.mail]: Expected text, `env:NAME` or `file:/path` - at `token`"),
        (
            "token = 'env:NOWHERE'",
            "[plugins.mail]: the environment variable NOWHERE is not set - at `token`",
        ),
    ],
)
def test_a_mistake_in_a_plugins_table_refuses_to_boot(
    toml: str, message: str, tmp_path: Path
) -> None:
    config = loaded(tmp_path, f"[plugins.mail]\n{toml}")
    with pytest.raises(ConfigError) as error:
        Kernel(config, found=[found_class(Mail)]).plan()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("environment", "flags", "message"),
    [
        ({"FAMULUS_MAIL__WAIT_S": "long"}, {}, "FAMULUS_MAIL__WAIT_S: [plugins.mail]: "),
        ({"MAIL_PORT": "many"}, {}, "MAIL_PORT: [plugins.mail]: "),
        ({"FAMULUS_MAIL__HOTS": "x"}, {}, "FAMULUS_MAIL__HOTS: [plugins.mail] has no setting"),
        ({"MAIL_PORT": "many"}, {"mail": {"port": "any"}}, "--mail-port: [plugins.mail]: "),
    ],
)
def test_a_mistake_outside_the_file_is_told_with_the_variable_or_flag(
    environment: dict[str, str], flags: dict[str, dict[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        mail(loaded(tmp_path, environment=environment, flags=flags))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("number", ["-1", "-0.5", "nan", "inf"])
def test_a_number_that_is_no_amount_is_refused(number: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`wait_s` must be a number from 0 up"):
        mail(loaded(tmp_path, f"[plugins.mail]\nwait_s = {number}"))


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_cannot_be_is_refused(port: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at `port`"):
        loaded(tmp_path, f"[server]\nport = {port}")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        load_config(tmp_path / "missing.toml", environment={})


def test_a_table_of_an_unknown_plugin_refuses_to_boot(tmp_path: Path) -> None:
    kernel = make_kernel(Mail, data_dir=tmp_path, settings={"male": {}})
    with pytest.raises(ConfigError, match="there is no plugin 'male'; there are everyone, mail"):
        kernel.plan()


def test_a_variable_of_an_unknown_plugin_refuses_to_boot(tmp_path: Path) -> None:
    config = loaded(tmp_path, environment={"FAMULUS_MALE__PORT": "1"})
    with pytest.raises(ConfigError, match="there is no plugin 'male'"):
        Kernel(config, found=[found_class(Mail)]).plan()


# --- secrets -------------------------------------------------------------------------------------

PASSWORD = "correct horse battery"


def test_a_secret_is_given_as_text(tmp_path: Path) -> None:
    token = mail(loaded(tmp_path, f"[plugins.mail]\ntoken = '{PASSWORD}'")).token
    assert token is not None
    assert token.reveal() == PASSWORD


def test_a_secret_is_given_by_a_variable(tmp_path: Path) -> None:
    environment = {"MAIL_TOKEN": PASSWORD}
    toml = "[plugins.mail]\ntoken = 'env:MAIL_TOKEN'"
    token = mail(loaded(tmp_path, toml, environment=environment)).token
    assert token == Secret(PASSWORD)


def test_a_secret_is_given_by_a_file_less_its_last_line_break(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{PASSWORD}\n")
    path.chmod(0o600)
    token = mail(loaded(tmp_path, f"[plugins.mail]\ntoken = 'file:{path}'")).token
    assert token == Secret(PASSWORD)


def test_a_secret_file_that_everyone_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(PASSWORD)
    path.chmod(0o644)
    config = loaded(tmp_path, f"[plugins.mail]\ntoken = 'file:{path}'")
    with pytest.raises(ConfigError, match="can be read by everyone; chmod 600 it - at `token`"):
        mail(config)


def test_a_secret_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"[plugins.mail]\ntoken = 'file:{tmp_path}/nowhere'")
    with pytest.raises(ConfigError, match="nowhere cannot be read: No such file"):
        mail(config)


def test_a_secret_never_shows_itself() -> None:
    secret = Secret(PASSWORD)
    settings = MailSettings(token=secret)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        " ".join(map(str, [secret])),
        repr(settings),
    ]
    assert all(PASSWORD not in each for each in shown)
    assert "Secret(***)" in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


def test_a_secret_is_compared_by_what_it_is_so_that_a_reload_sees_a_change() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert not Secret("")
