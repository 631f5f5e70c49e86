"""Modules by their names of version 0.1."""

from __future__ import annotations

import importlib
import sys

import pytest

import fathom
from fathom import _moved, judges


@pytest.mark.parametrize("old", _moved.MOVED)
def test_a_moved_module_is_found_by_its_old_name_which_says_where_it_is(old: str) -> None:
    sys.modules.pop(f"fathom.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"fathom\.{old} is now fathom\.{_moved.MOVED[old]}$"):
        module = importlib.import_module(f"fathom.{old}")
    current = importlib.import_module(f"fathom.{_moved.MOVED[old]}")
    public = [name for name in vars(current) if not name.startswith("_")]
    assert public
    assert all(getattr(module, name) is getattr(current, name) for name in public)


def test_modules_of_a_moved_package_are_found_too() -> None:
    with pytest.warns(DeprecationWarning, match="fathom.mini.world is now fathom.lab.world"):
        world = importlib.import_module("fathom.mini.world")
    assert world.items is importlib.import_module("fathom.lab.world").items


def test_renamed_names_are_found_in_moved_modules() -> None:
    for old, new in _moved.RENAMED.items():
        homes = [importlib.import_module(f"fathom.{module}") for module in _moved.MOVED]
        assert any(hasattr(home, old) and getattr(home, old) is getattr(home, new, None) for home in homes)


@pytest.mark.parametrize(("old", "new"), _moved.EXPORTED.items())
def test_a_renamed_name_of_fathom_itself_is_found_by_its_old_name_with_a_warning_at_its_use(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"fathom\.{old} is now fathom\.{new}$") as warned:
        found = getattr(fathom, old)
    assert found is getattr(fathom, new)
    assert warned[0].filename == __file__
    assert old not in fathom.__all__


def test_old_names_are_imported_from_fathom() -> None:
    with pytest.warns(DeprecationWarning, match="fathom.recorded is now") as warned:
        from fathom import recorded  # type: ignore[attr-defined]
    assert recorded is fathom.verdict_from_completions
    assert {each.filename for each in warned} == {__file__}


def test_modules_that_never_were_are_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"fathom\.recorder"):
        importlib.import_module("fathom.recorder")


def test_the_rewards_of_votes_are_still_found_where_reward_models_now_are() -> None:
    import fathom.rewards

    with pytest.warns(DeprecationWarning, match=r"fathom\.rewards\.verdict_reward is now fathom\.judges\."):
        assert fathom.rewards.verdict_reward is judges.verdict_reward
    with pytest.raises(AttributeError):
        fathom.rewards.nothing  # noqa: B018
