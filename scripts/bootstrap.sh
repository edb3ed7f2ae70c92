#!/bin/bash
# Installs what this project needs on a Debian 12 machine that has git and make: Debian packages,
# uv by hash, the Python environment from requirements.lock, and the project in it.
#
# Quick when nothing changed. It may be killed at any moment and run again: a package set or an
# environment counts only once it is whole.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One list, one line a purpose.
packages=(
  ca-certificates                                    # registries are reached by TLS
  python3 python3-venv                               # everything
  mmdebstrap debian-archive-keyring xz-utils         # root filesystems
  apt-utils gpg gpg-agent                            # the signed package source
  umoci skopeo docker-registry                       # container images and their registry
  systemd-container iproute2 nftables procps         # the lab's machines and their network
  openssh-client                                     # reaching them
  gcc libc6-dev                                      # go test -race
  haproxy keepalived                                 # the contracts of the edges
)

say() { printf 'bootstrap: %s\n' "$*"; }
fail() {
  printf 'bootstrap: %s\n' "$*" >&2
  exit 4
}

go_is_new_enough() {
  local minimum version
  minimum=$(sed -n 's/^minimum = "\(.*\)"$/\1/p' versions.toml)
  version=$(cd / && go env GOVERSION 2>/dev/null) || return 1
  printf '%s\n%s\n' "$minimum" "${version#go}" | sort --check=quiet --version-sort
}

debian_packages() {
  # Where no Go is new enough, Debian's fetches Go's own toolchain module.
  go_is_new_enough || packages+=(golang-go)
  local missing=() name
  for name in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "these packages are missing and only root can install them: ${missing[*]}"
  say "installing ${missing[*]}"
  local log=.cache/apt.log apt=(apt-get -o DPkg::Lock::Timeout=300 --yes --no-install-recommends)
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C
  # The lab starts servers of its own; Debian's services must not take their ports.
  local service
  for service in docker-registry haproxy keepalived; do
    case " ${missing[*]} " in
      *" $service "*)
        mkdir -p /etc/systemd/system
        ln -sf /dev/null "/etc/systemd/system/$service.service"
        ;;
    esac
  done
  {
    dpkg --configure -a # an earlier run may have been killed in the middle
    "${apt[@]}" update
    "${apt[@]}" install "${missing[@]}"
  } >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    fail "apt could not install them; its log is $log"
  }
}

install_uv() {
  local want
  want=$(sha256sum requirements-bootstrap.lock | cut -d' ' -f1)
  [ "$(cat .cache/bootstrap/stamp 2>/dev/null)" != "$want" ] || return 0
  say "installing uv"
  rm -rf .cache/bootstrap .cache/bootstrap.new
  /usr/bin/python3 -m venv .cache/bootstrap.new
  .cache/bootstrap.new/bin/python -m pip install --quiet --disable-pip-version-check \
    --only-binary :all: --require-hashes -r requirements-bootstrap.lock
  printf '%s\n' "$want" >.cache/bootstrap.new/stamp
  mv .cache/bootstrap.new .cache/bootstrap
}

python_environment() {
  local want uv=.cache/bootstrap/bin/uv stamp=.venv/.permafrost
  want=$({ pwd && /usr/bin/python3 --version && sha256sum requirements.lock pyproject.toml; } | sha256sum | cut -d' ' -f1)
  [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
  if [ ! -e "$stamp" ]; then
    # Never finished, or killed while it changed: nothing in it can be relied on.
    say "making the Python environment"
    /usr/bin/python3 -m venv --clear --without-pip .venv
  else
    say "updating the Python environment"
    rm -f "$stamp"
  fi
  # Compiled now: where nothing may be written later each command would compile all it imports.
  $uv pip sync --quiet --compile-bytecode --python .venv/bin/python --only-binary :all: --require-hashes requirements.lock
  $uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
  .venv/bin/python -m compileall -q permafrost model_registry infra lab
  printf '%s\n' "$want" >"$stamp"
}

SECONDS=0
mkdir -p .cache
exec 9>.cache/bootstrap.lock
if command -v flock >/dev/null; then flock 9; fi
debian_packages 9>&-
install_uv 9>&-
python_environment 9>&-
say "ready (${SECONDS} s)"
