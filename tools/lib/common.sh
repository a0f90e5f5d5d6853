# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What tools/demo, tools/check and tools/install-deps share: steps with their progress line, and packages.
# shellcheck disable=SC2034 # the scripts that read this file use them

BUILD_PACKAGES=(meson ninja-build pkg-config gcc libc6-dev binutils python3 python3-docutils
    libwebsockets-dev libwebsockets-evlib-uv libuv1-dev libgnutls28-dev libcurl4-gnutls-dev
    libjansson-dev libglib2.0-dev libssl-dev libsystemd-dev libhiredis-dev
    libvirt-dev libmicrohttpd-dev libxml2-dev)
DEMO_PACKAGES=(qemu-system-x86 libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
    novnc spice-html5 node-xterm gnutls-bin)
TEST_PACKAGES=(chromium fonts-dejavu-core openssl stunnel4 redis-server haproxy nginx libnginx-mod-stream strace iproute2 procps valgrind libc6-dbg
    clang libclang-rt-14-dev llvm clang-format shellcheck
    python3-yaml python3-jsonschema python3-gi gir1.2-spiceclientglib-2.0 python3-seccomp curl websockify
    systemd dpkg-dev debhelper lintian rpm)

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# step WHAT COMMAND...: one line while it runs and how long it took; its output only where it fails.
# STEP_LOG keeps the output of the last step.
STEP_LOG=
step() {
    local what=$1 begin=$SECONDS status=0
    shift
    [ -n "$STEP_LOG" ] || STEP_LOG=$(mktemp "${TMPDIR:-/tmp}/virtconsoleproxy-log.XXXXXX")
    printf '%s ... ' "$what"
    "$@" >"$STEP_LOG" 2>&1 </dev/null || status=$?
    if [ $status -eq 0 ]; then
        printf 'done (%d s)\n' $((SECONDS - begin))
        return 0
    fi
    printf 'FAILED (%d s)\n' $((SECONDS - begin))
    tail -n 30 "$STEP_LOG" | sed 's/^/    /' >&2
    printf 'The whole output: %s\n' "$STEP_LOG" >&2
    STEP_LOG=
    return $status
}

forget_step_log() {
    if [ -n "$STEP_LOG" ]; then
        rm -f "$STEP_LOG"
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME...: installs what is missing, silently if nothing is.
install_packages() {
    local missing=() one
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die "this is for Debian 12 and its relatives; elsewhere install by hand what these packages hold: $*"
    fi
    for one in "$@"; do
        is_installed "$one" || missing+=("$one")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        die "packages are missing: ${missing[*]}. Installing them needs root: sudo $0"
    fi
    export DEBIAN_FRONTEND=noninteractive
    step "Fetching the list of packages" apt-get -q update
    step "Installing packages, this may take minutes (${missing[*]})" \
        apt-get -q -y --no-install-recommends install "${missing[@]}"
}

# configure DIRECTORY LABEL MESON-OPTION...: the first time only; CC from the environment counts then.
configure() {
    local directory=$1 label=$2
    shift 2
    [ -f "$directory/build.ninja" ] || step "Configuring the build ($label)" meson setup "$directory" "$TOP" "$@"
}

# compile DIRECTORY LABEL TARGET...: what is not up to date; without targets everything.
compile() {
    local directory=$1 label=$2
    shift 2
    step "Building ($label)" ninja -C "$directory" "$@"
}

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
