"""What ``control.pulumi_backend`` names."""

from __future__ import annotations

import pytest

from permafrost.site.pulumi_backend import folder_named, query_of, without_credentials


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/pulumi", "/srv/pulumi"),
        ("file:///srv/a%20b?metadata=skip", "/srv/a b"),
        ("file://beside", "beside"),
        ("file://~/pulumi", "~/pulumi"),
        ("s3://bucket/file://x", None),
        ("https://api.pulumi.com", None),
    ],
)
def test_a_folder_is_told_from_a_place_elsewhere(url: str, folder: str | None) -> None:
    assert folder_named(url) == folder


def test_options_stay_as_they_are() -> None:
    assert query_of("file:///srv/pulumi?metadata=skip") == "?metadata=skip"
    assert query_of("file:///srv/pulumi") == ""


def test_a_password_in_a_url_is_not_shown() -> None:
    assert (
        without_credentials("postgres://me:hush@db:5432/state?x=y") == "postgres://db:5432/state"
    )
    assert without_credentials("file:///srv/pulumi") == "file:///srv/pulumi"
