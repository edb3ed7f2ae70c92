"""A site file with placeholders, read for what a lab of its kind needs. Standard library only."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from lab.errors import LabError
from lab.instance.model import CHECKOUT

STANDARD = CHECKOUT / "sites" / "lab.yaml"
ON_DEMAND = ("etcd_image", "kafka_image", "milvus_image", "milvus_older_image", "minio_image")
_SECRET = re.compile(r"password_file: (users/[a-z0-9-]+)")


def text_of(template: Path) -> str:
    """Return a template as it is written. Raises LabError where it cannot be read."""
    try:
        return template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise LabError(
            "SITE_TEMPLATE", f"{template}: {why}", "name a template that is there"
        ) from error


def images_of(template: Path) -> tuple[str, ...]:
    """Return the images that a template asks for and that not every lab has."""
    asked = Template(text_of(template)).get_identifiers()
    return tuple(sorted(i.removesuffix("_image") for i in asked if i in ON_DEMAND))


def parts_of(template: Path) -> tuple[str, ...]:
    """Return the parts to build beside those that every lab has."""
    return tuple(f"image-{name}" for name in images_of(template))


def secrets_of(template: Path) -> tuple[str, ...]:
    """Return the files below the lab's folder that hold passwords of the site's own users."""
    return tuple(sorted(set(_SECRET.findall(text_of(template)))))
