"""A stack that is another site's, of another provider, or somewhere else: refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from permafrost.adapters.pulumi_stack.backend import Backend, require_folder, stack_files
from permafrost.adapters.pulumi_stack.belonging import (
    made_in,
    record,
    require_never_made,
    require_own,
)
from permafrost.errors import Refused
from permafrost.site.load import LoadedSite
from tests.fakes.site import small_site
from tests.unit.adapters.pulumi_stack.test_checkpoint import BY_PASSPHRASE, CLOUD, vm, write_state

BUCKET = Backend("s3://me:hush@bucket")


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSite:
    found = LoadedSite(small_site(), tmp_path / "site.yaml")
    stack_files(found).mkdir(parents=True)
    return found


def refused(latest: dict[str, object]) -> str:
    with pytest.raises(Refused) as caught:
        require_own(small_site(), BUCKET, latest)
    assert "hush" not in str(caught.value)
    return caught.value.code


def test_a_stack_of_another_site_is_not_taken_for_ours() -> None:
    site = small_site().site
    note = f"Permafrost: site {site}, node {site}-chat-01, endpoint chat"
    require_own(small_site(), BUCKET, {"resources": [vm("chat", note)]})
    foreign = note.replace(f"site {site},", f"site {site}-2,")
    assert refused({"resources": [vm("chat", foreign)]}) == "PULUMI_STACK_FOREIGN"


def test_a_stack_of_another_provider_is_refused_and_how_to_change_it_said() -> None:
    require_own(small_site(), BUCKET, {})
    require_own(small_site(), BUCKET, {"secrets_providers": BY_PASSPHRASE})
    assert refused({"secrets_providers": CLOUD}) == "SECRETS_PROVIDER_CHANGED"
    with pytest.raises(Refused, match="change-secrets-provider passphrase"):
        require_own(small_site(), BUCKET, {"secrets_providers": CLOUD})
    with pytest.raises(Refused, match="whoever made the stack types"):
        require_own(small_site(), BUCKET, {"secrets_providers": {"type": "service"}})


def test_a_stack_that_was_made_before_is_not_made_again_elsewhere(loaded: LoadedSite) -> None:
    require_never_made(loaded, BUCKET)
    record(loaded, BUCKET)
    assert made_in(loaded) == "s3://bucket"
    with pytest.raises(Refused) as caught:
        require_never_made(loaded, Backend("gs://other"))
    assert caught.value.code == "PULUMI_STACK_MISSING"
    noted = stack_files(loaded) / "backend.json"
    assert str(noted) in str(caught.value)
    noted.write_text(json.dumps({"schema": 1, "stack": "other", "backend": "s3://bucket"}))
    require_never_made(loaded, BUCKET)


def test_a_stack_from_before_backends_were_recorded_is_seen(loaded: LoadedSite) -> None:
    write_state(stack_files(loaded), None)
    assert made_in(loaded) == f"file://{stack_files(loaded)}"


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    require_folder(BUCKET)
    require_folder(Backend(f"file://{tmp_path}", tmp_path))
    missing = tmp_path / "share"
    with pytest.raises(Refused) as caught:
        require_folder(Backend(f"file://{missing}", missing))
    assert caught.value.code == "PULUMI_BACKEND_UNREACHABLE"
    assert not missing.exists()
