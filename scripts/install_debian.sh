#!/bin/sh
# Install Debian packages, or say exactly what to install and fail.
#   scripts/install_debian.sh "what needs them" package...
set -eu

purpose=$1
shift

if ! command -v apt-get >/dev/null; then
    as_root=missing
elif [ "$(id -u)" -eq 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    as_root=missing
fi

if [ "$as_root" != missing ]; then
    echo "Installing $* with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    lock="-o DPkg::Lock::Timeout=300"
    # A stale package list of some other repository must not stop us: the installation decides.
    $as_root apt-get $lock update -qq || true
    if $as_root apt-get $lock install -y -qq --no-install-recommends "$@" >/dev/null; then
        exit 0
    fi
fi

cat >&2 <<END

$purpose needs Debian packages that cannot be installed from here. Please run

    sudo apt-get install $*

(Debian 12 or Ubuntu; elsewhere the package of the same meaning), then this command again.
END
exit 1
