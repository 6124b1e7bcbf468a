#!/bin/sh
# Makes an image of Google Compute Engine with Paceline in it: a machine is made, install.sh runs on
# it, its disk becomes the image, and the machine is removed, whatever went wrong.
#
#   sh build-gcp.sh PROJECT ZONE paceline-0.1.0.tgz
set -eu

fail() {
  echo "build-gcp.sh: $*" >&2
  exit 2
}

[ $# -eq 3 ] || fail "write sh build-gcp.sh PROJECT ZONE paceline-VERSION.tgz"
project=$1 zone=$2 package=$3
family=${FAMILY:-paceline}
base_family=${BASE_FAMILY:-debian-13}
base_project=${BASE_PROJECT:-debian-cloud}
tries=${TRIES:-30}
here=$(dirname "$0")
[ -f "$package" ] || fail "there is no file $package; npm pack makes it"
command -v gcloud >/dev/null || fail "gcloud is not installed; see cloud.google.com/sdk"

version=$(basename "$package" .tgz | sed 's/^paceline-//' | tr -c 'a-z0-9\n' '-')
stamp=$(date +%s)
machine=paceline-image-$stamp
image=$family-$version-$stamp
compute() {
  gcloud compute "$@" --project "$project" --quiet
}
remove() {
  compute instances delete "$machine" --zone "$zone" >/dev/null 2>&1 || true
}

trap remove EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
compute instances create "$machine" --zone "$zone" --machine-type e2-standard-2 \
  --image-family "$base_family" --image-project "$base_project" --boot-disk-size 20GB
try=1
until compute ssh "$machine" --zone "$zone" --command true; do
  [ $try -lt "$tries" ] || fail "$machine does not answer ssh after $tries tries"
  try=$((try + 1))
  sleep "${WAIT:-5}"
done
compute scp "$package" "$here/install.sh" "$here"/../systemd/paceline-*.service \
  "$machine:" --zone "$zone"
compute ssh "$machine" --zone "$zone" --command "sudo sh install.sh $(basename "$package") ."
compute instances stop "$machine" --zone "$zone"
compute images create "$image" --family "$family" --source-disk "$machine" \
  --source-disk-zone "$zone"
echo "$image"
