"""What cloud-init is given is what the VM's guestinfo says."""

import base64
import gzip

import pytest

from lab.errors import LabError
from lab.hypervisor.guestinfo import MAX_VALUE, environment, environment_file

TEXT = '#cloud-config\nhostname: "a b"\n'


def _decoded(variables: dict[str, str], key: str) -> str:
    raw = base64.b64decode(variables[key])
    if variables[f"{key}_ENCODING"] == "gzip+base64":
        raw = gzip.decompress(raw)
    return raw.decode()


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (TEXT, ""),
        (base64.b64encode(TEXT.encode()).decode(), "base64"),
        (base64.encodebytes(TEXT.encode()).decode(), "b64"),
        (base64.b64encode(gzip.compress(TEXT.encode(), mtime=0)).decode(), "gzip+base64"),
        (base64.b64encode(gzip.compress(TEXT.encode(), mtime=0)).decode(), "gz+b64"),
    ],
)
def test_every_encoding_arrives_as_the_same_text(value: str, encoding: str) -> None:
    extra = {"guestinfo.userdata": value}
    if encoding:
        extra["guestinfo.userdata.encoding"] = encoding
    variables = environment(extra)
    assert variables["VMX_GUESTINFO"] == "1"
    assert _decoded(variables, "VMX_GUESTINFO_USERDATA") == TEXT


def test_the_file_has_one_line_a_variable_whatever_the_text() -> None:
    lines = environment_file({"guestinfo.metadata": TEXT, "other": "x"}).splitlines()
    assert [line.split("=")[0] for line in lines] == [
        "VMX_GUESTINFO",
        "VMX_GUESTINFO_METADATA",
        "VMX_GUESTINFO_METADATA_ENCODING",
    ]


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"guestinfo.userdata": "%%", "guestinfo.userdata.encoding": "base64"}, "UNREADABLE"),
        ({"guestinfo.userdata": "YQ==", "guestinfo.userdata.encoding": "gz+b64"}, "UNREADABLE"),
        ({"guestinfo.userdata": "YQ==", "guestinfo.userdata.encoding": "rot13"}, "ENCODING"),
        ({"guestinfo.userdata": "x" * MAX_VALUE}, "TOO_LONG"),
    ],
)
def test_what_the_guest_could_not_read_is_refused(extra: dict[str, str], code: str) -> None:
    with pytest.raises(LabError, match=code):
        environment(extra)
