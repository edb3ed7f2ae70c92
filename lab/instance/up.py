"""Bringing a lab up: each step finds out by itself what is already there.

Nothing is remembered between two runs but the files that the steps themselves leave, so an
interrupted run is simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.instance import site
from lab.instance.allocate import ensure_instance
from lab.instance.kernel import ensure_limits
from lab.instance.model import Instance
from lab.instance.parts import Parts, built
from lab.instance.secrets import ensure_password
from lab.instance.spawn import locked
from lab.instance.template import STANDARD, images_of, secrets_of
from lab.provider import package
from lab.services import packages, push, registry, vcenter

ENDPOINTS = ("chat", "pulse")
TRITON_REPOSITORY = "images/triton"
Say = Callable[[str], None]


@contextmanager
def timed(say: Say, what: str) -> Iterator[None]:
    """Say what a step does, and how long it took."""
    begun = time.monotonic()
    yield
    say(f"  {what:<44} {time.monotonic() - begun:6.1f} s")


def up(root: Path, say: Say, template: Path = STANDARD) -> Instance:
    """Bring the lab in a folder up and return it; its site file is made from a template."""
    with locked(root / "run" / "locks" / "up.lock"):
        with timed(say, "parts"):
            parts = built(ENDPOINTS, images_of(template))
        with timed(say, "bridge and folders"):
            ensure_limits()
            instance = ensure_instance(root)
            set_base_image(instance, parts.base_image)
        with timed(say, f"package source {instance.packages_url}"):
            packages.ensure(instance, parts.packages)
        with timed(say, f"OCI registry {instance.registry_address}"):
            registry.ensure(instance)
        with timed(say, "container image and checkpoints"):
            digests = fill(instance, parts)
        with timed(say, f"vCenter {instance.vcenter_url}"):
            vcenter.ensure(instance, parts.vcenter, site.hosts_of(template) or vcenter.HOSTS)
        with timed(say, "vSphere plugin"):
            package.install(parts.pulumi, instance.state_dir / "pulumi-home")
        site.render(instance, {**digests, "pulumi_dir": str(parts.pulumi.parent)}, template)
        for name in secrets_of(template):
            ensure_password(instance.root / name)
        say(f"  site file {instance.site_file}")
    return instance


def set_base_image(instance: Instance, system: Path) -> None:
    """Let new machines start from a system; those that exist keep theirs."""
    link = instance.root / "base-image"
    part = link.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.symlink_to(system.resolve())
    part.replace(link)


def fill(instance: Instance, parts: Parts) -> dict[str, str]:
    """Fill the registry; return the pins that the site file names."""
    image = push.ensure_image(instance, parts.image_triton, TRITON_REPOSITORY)
    pins = {"triton_image": f"{TRITON_REPOSITORY}@{image}"}
    for endpoint, part in parts.checkpoints.items():
        name = (part / "name").read_text().strip()
        digest = push.ensure_checkpoint(instance, part, f"checkpoints/{name}")
        pins[f"{endpoint}_model"] = f"{name}@{digest}"
    for name, part in parts.images.items():
        digest = push.ensure_image(instance, part, f"images/{name}")
        pins[f"{name}_image"] = f"images/{name}@{digest}"
    return pins
