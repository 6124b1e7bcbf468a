#!/bin/sh
# Installs Paceline with its systemd units on Debian or Ubuntu: npm's package in /opt/paceline, a user
# `paceline`, options in /etc/paceline. As root; safe to run again, also with another version.
#
#   sh install.sh paceline-0.1.0.tgz [folder with the units]
#
# DESTDIR=/somewhere puts all files below that folder and leaves users and services as they are.
set -eu

fail() {
  echo "install.sh: $*" >&2
  exit 2
}

package=${1:-}
units=${2:-$(dirname "$0")/../systemd}
root=${DESTDIR:-}
[ -n "$package" ] || fail "no package; write sh install.sh paceline-VERSION.tgz (npm pack makes it)"
[ -f "$package" ] || fail "there is no file $package; npm pack makes it"
[ -f "$units/paceline-coordinator.service" ] || fail "no units in $units; name their folder"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "this needs root; write sudo sh install.sh $package"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  [ -z "$root" ] || fail "Node.js and npm are not installed"
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm
fi
major=$(node --print 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node.js is version $major, and 20 or later is needed (Debian 13 has it)"

# Debian 12 has the first, Debian 13 the second; without one Paceline computes, slower.
if [ -z "$root" ]; then
  for library in libdnnl2 libdnnl3.6; do
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $library && break
  done || echo "install.sh: oneDNN could not be installed: workers are slower" >&2
fi

prefix=$root/opt/paceline
mkdir -p "$prefix/bin" "$root/etc/paceline" "$root/etc/systemd/system"
npm install --prefix "$prefix" --omit=dev --ignore-scripts --no-audit --no-fund --no-save "$package"
ln -sf ../node_modules/.bin/paceline "$prefix/bin/paceline"
cp "$units"/paceline-*.service "$root/etc/systemd/system/"
chmod 750 "$root/etc/paceline"
"$prefix/bin/paceline" --version

[ -z "$root" ] || exit 0
getent group paceline >/dev/null || groupadd --system paceline
getent passwd paceline >/dev/null ||
  useradd --system --gid paceline --home-dir /var/lib/paceline --shell /usr/sbin/nologin paceline
chgrp paceline /etc/paceline
ln -sf /opt/paceline/bin/paceline /usr/local/bin/paceline
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
