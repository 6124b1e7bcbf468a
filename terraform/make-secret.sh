#!/usr/bin/env bash
# Prints the secret of a cluster as JSON: a token, and with "true" certificates of each role.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

program=../dist/cli/main.js
[ -f "$program" ] || die "Paceline is not built, and its certificates are made by it" "run make build first"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
umask 077
if [ "${1:-true}" = true ]; then
  node "$program" certs init --out "$folder/certs" > /dev/null
fi
node -e '
  const { existsSync, readFileSync } = require("node:fs");
  const { randomBytes } = require("node:crypto");
  const secret = { token: randomBytes(32).toString("hex") };
  const read = (name) => readFileSync(`${process.argv[1]}/${name}.pem`, "utf8");
  if (existsSync(process.argv[1])) {
    secret.ca = read("ca");
    for (const role of ["coordinator", "server", "worker", "admin"]) {
      secret[role] = read(role);
      secret[`${role}_key`] = read(`${role}-key`);
    }
  }
  process.stdout.write(JSON.stringify(secret));
' "$folder/certs"
