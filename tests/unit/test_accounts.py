"""The accounts of virtual users: where they come from, that they suffice, and that they are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from replay.accounts import Account, AccountsError, accounts_from, assigned, readable_by_others

BOTH = ("XNAT_USER", "XNAT_PASSWORD")


def names(accounts: tuple[Account, ...]) -> list[str]:
    return [account.variables["XNAT_USER"] for account in accounts]


def test_a_file_has_an_account_a_line(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text("# for load\nload1:a:b c\n\nload2: x\n")
    found = accounts_from(str(file), 2, {}, BOTH)
    assert [dict(account.variables) for account in found] == [
        {"XNAT_USER": "load1", "XNAT_PASSWORD": "a:b c"},
        {"XNAT_USER": "load2", "XNAT_PASSWORD": " x"},
    ]
    assert found[0].over({"XNAT_USER": "else", "HOME": "/h"}) == {"XNAT_USER": "load1", "XNAT_PASSWORD": "a:b c", "HOME": "/h"}


def test_a_file_from_windows_has_the_same_accounts(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_bytes("\ufeffload1:a\r\nload2:b\r\n".encode())
    assert [dict(one.variables) for one in accounts_from(str(file), 2, {}, BOTH)] == [
        {"XNAT_USER": "load1", "XNAT_PASSWORD": "a"},
        {"XNAT_USER": "load2", "XNAT_PASSWORD": "b"},
    ]


def test_a_pattern_counts_and_all_have_one_password() -> None:
    environment = {"XNAT_PASSWORD": "one for all"}
    assert names(accounts_from("load{n:02}", 3, environment, BOTH)) == ["load01", "load02", "load03"]
    assert names(accounts_from("u{n}@site", 11, environment, BOTH))[-1] == "u11@site"
    assert {account.variables["XNAT_PASSWORD"] for account in accounts_from("u{n}", 3, environment, BOTH)} == {"one for all"}
    with pytest.raises(AccountsError, match="set XNAT_PASSWORD"):
        accounts_from("load{n}", 2, {}, BOTH)


def test_numbered_variables_come_before_the_plain_ones() -> None:
    environment = {"XNAT_USER": "one", "XNAT_PASSWORD": "p", "XNAT_USER_1": "a", "XNAT_PASSWORD_1": "pa"}
    environment |= {"XNAT_USER_2": "b", "XNAT_PASSWORD_2": "pb", "XNAT_USER_4": "after a gap", "XNAT_PASSWORD_4": "p"}
    assert names(accounts_from(None, 9, environment, BOTH)) == ["a", "b"]
    assert names(accounts_from(None, 9, {"XNAT_USER": "one", "XNAT_PASSWORD": "p"}, BOTH)) == ["one"]
    assert accounts_from(None, 9, {"XNAT_USER": "one"}, BOTH) == ()


def test_an_account_without_its_password_is_named() -> None:
    with pytest.raises(AccountsError, match="XNAT_PASSWORD_2 is not set"):
        accounts_from(None, 2, {"XNAT_USER_1": "a", "XNAT_PASSWORD_1": "p", "XNAT_USER_2": "b"}, BOTH)


def test_other_variables_of_a_scenario_are_numbered_too() -> None:
    found = accounts_from(None, 1, {"WARD_LOGIN_1": "a"}, ["WARD_LOGIN"])
    assert [dict(one.variables) for one in found] == [{"WARD_LOGIN": "a"}]
    with pytest.raises(AccountsError, match=r"from WARD_LOGIN, too: set WARD_LOGIN_1"):
        accounts_from("load{n}", 2, {"XNAT_PASSWORD": "p"}, ["XNAT_USER", "WARD_LOGIN"])


def test_a_scenario_that_logs_nobody_in_needs_no_accounts() -> None:
    assert accounts_from("/no/such/file", 3, {}, ()) == ()
    assert assigned((), 3, share=False, wanted=False) == (Account({}),) * 3


def test_accounts_are_shared_only_when_that_is_said() -> None:
    two = (Account({"XNAT_USER": "a"}), Account({"XNAT_USER": "b"}))
    assert names(assigned(two, 2, share=False)) == ["a", "b"]
    assert names(assigned(two, 5, share=True)) == ["a", "b", "a", "b", "a"]
    with pytest.raises(AccountsError, match=r"3 users, but 2 accounts: give more accounts; with --share-accounts"):
        assigned(two, 3, share=False)
    with pytest.raises(AccountsError, match=r"there is no account .*XNAT_USER_1"):
        assigned((), 3, share=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [("a:1\nb\n", "line 2 is no NAME:PASSWORD"), ("a:\n", "line 1"), (":p\n", "line 1"), ("a:1\na:2", "line 2 has")],
)
def test_a_file_that_is_none_is_told_the_line_and_not_its_content(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "accounts"
    file.write_text(text.replace("b", "hunter2"))
    with pytest.raises(AccountsError, match=why) as refused:
        accounts_from(str(file), 2, {}, BOTH)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(AccountsError, match=r"cannot be read \(No such file"):
        accounts_from(str(file) + "x", 2, {}, BOTH)


def test_no_account_is_ever_shown() -> None:
    account = Account({"XNAT_USER": "reader", "XNAT_PASSWORD": "hunter2"})
    assert "hunter2" not in f"{account} {account!r} {[account]}"
    assert account.secrets == ("reader", "hunter2")


def test_a_file_that_others_can_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text("a:1\n")
    file.chmod(0o600)
    assert not readable_by_others(str(file))
    file.chmod(0o644)
    assert readable_by_others(str(file))
    assert not readable_by_others("load{n}")
    assert not readable_by_others(None)
