"""User names and passwords of addresses are never shown."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.address import ADDRESSES, SECRETS, hidden, shown_address, without_secrets

WORD = st.text("abcXYZ019/@:?#%&=+ -_.\\'é", min_size=6, max_size=12).map(lambda text: f"q{text}q")
FORMS = (
    "postgresql://{user}:{password}@db.example:5432/studies",
    "mysql+pymysql://{user}:{password}@db.example/studies?charset=utf8",
    "http://{user}:{password}@tracker.example:5000/x",
    "redis://:{password}@db.example:6379/0",
    "rediss://{user}:{password}@[::1]:6379/0#db.example",
    "s3://{user}:{password}@db.example/folder",
    "simplecache::s3://{user}:{password}@db.example/folder",
    "ray://{user}:{password}@db.example:10001",
    "{user}:{password}@db.example:6379",
    "postgresql://db.example/studies?user={user}&password={password}",
    "postgresql://db.example/studies?sslmode=require&passfile=x&sslpassword={password}",
    "https://db.example/container?sig={password}",
)
TOLD = (
    "request to {address}/api failed: login of user '{user}' with '{password}' refused",
    "{address!r} is no address",
    "cannot connect with password={password} to db.example",
    "two\nlines: {password}",
    "a list of arguments: [{password!r}, {user!r}]",
)


@pytest.mark.parametrize("form", FORMS)
@given(user=WORD, password=WORD, told=st.sampled_from(TOLD))
def test_no_message_about_an_address_holds_its_user_or_password(form: str, user: str, password: str, told: str):
    raw = "?" not in form and not user.startswith(("/", ".", "~"))
    writings = [(quote(user, ""), quote(password, "")), (quote_plus(user), quote_plus(password))]
    for given_user, given_password in [*writings, *([(quote(user, ""), password)] if raw else [])]:
        address = form.format(user=given_user, password=given_password)
        secrets = {password, given_password} | ({user, given_user} if "{user}" in form else set())
        for meant in ((user, password), (given_user, given_password)):
            message = told.format(address=address, user=meant[0], password=meant[1])
            for text in (shown_address(address), hidden(message, address), without_secrets(message, address)):
                assert not any(word in text for word in secrets), text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=WORD, name=st.sampled_from(ADDRESSES))
def test_secrets_of_the_environment_are_in_no_text(password: str, name: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setenv(name, f"http://somebody:{quote(password, '')}@example:1/x")
        assert password not in hidden(f"'{password}' was refused") and "example" in hidden("example")
        assert "somebody" not in hidden("no user somebody")
    for variable in SECRETS:
        with monkeypatch.context() as patch:
            patch.setenv(variable, password)
            assert password not in hidden(f"'{password}' was refused")


def test_an_address_without_secrets_is_shown_as_it_is():
    for address in ("sqlite:///mlflow.db", "http://127.0.0.1:5000", "./mlruns", "s3://bucket/folder", "10.0.0.1:6379",
                    "/data/me@home/mlruns", "s3://bucket/some/folder"):  # fmt: skip
        assert shown_address(address) == address
        assert without_secrets(f"{address} is gone", address) == f"{address} is gone"


def test_host_and_path_are_told():
    assert (
        shown_address("postgresql://me:se/cr@et@db.example:5432/studies?x=1") == "postgresql://db.example:5432/studies"
    )
    assert shown_address("http://me:se?cr@tracker:5000/x") == "http://tracker:5000/x"


def test_another_address_in_a_message_shows_no_password_either():
    assert "secret" not in without_secrets("redirected to http://me:secret@other:80/x", "http://tracker")
    assert without_secrets("write to me@example.org about http://host/x") == (
        "write to me@example.org about http://host/x"
    )


def test_what_another_reader_takes_for_the_host_is_no_part_of_the_password():
    address = "postgresql://me:/@hush-hush?:#@127.0.0.1:9/x"
    assert "hush" not in without_secrets("nothing answers at hush-hush:5432", address)
