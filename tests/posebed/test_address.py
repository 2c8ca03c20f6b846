"""User names and passwords of addresses are never shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.address import shown_address, without_secrets

WORD = st.text("abcXYZ019/@:?#%&=+ -_.", min_size=6, max_size=12).map(lambda text: f"q{text}q")
ADDRESSES = (
    "postgresql://{user}:{password}@db.example:5432/studies",
    "mysql+pymysql://{user}:{password}@db.example/studies?charset=utf8",
    "http://{user}:{password}@tracker.example:5000/x",
    "postgresql://db.example/studies?user={user}&password={password}",
)


@pytest.mark.parametrize("form", ADDRESSES)
@given(user=WORD, password=WORD)
def test_no_message_about_an_address_holds_its_user_or_password(form: str, user: str, password: str):
    for given_user, given_password in ((quote(user, ""), quote(password, "")), (quote(user, ""), password)):
        if "?user" in form and given_password == password:
            continue  # a query has no other way to write it
        address = form.format(user=given_user, password=given_password)
        shown = shown_address(address)
        message = without_secrets(
            f"request to {address}/api failed: login of user '{user}' with '{password}' refused", address
        )
        for text in (shown, message):
            assert not any(word in text for word in (user, password, given_user, given_password))
        assert "db.example" in message or "tracker.example" in message


def test_an_address_without_secrets_is_shown_as_it_is():
    for address in ("sqlite:///mlflow.db", "http://127.0.0.1:5000", "./mlruns", "s3://bucket/folder"):
        assert shown_address(address) == address
        assert without_secrets(f"{address} is gone", address) == f"{address} is gone"


def test_another_address_in_a_message_shows_no_password_either():
    assert "secret" not in without_secrets("redirected to http://me:secret@other:80/x", "http://tracker")
