#!/bin/sh
# Runs at each start of an instance, from an image of deploy/image/build-gcp.sh.
set -eu

metadata=http://metadata.google.internal/computeMetadata/v1
access() {
  curl --fail --silent --retry 10 --retry-connrefused -H 'Metadata-Flavor: Google' \
    "$metadata/instance/service-accounts/default/token" |
    node --print 'JSON.parse(require("fs").readFileSync(0)).access_token'
}

# The token is in a file that its owner alone can read. A grant takes minutes to be known everywhere:
# until then the secret is refused. What opens it is in no process list.
secret=https://secretmanager.googleapis.com/v1/projects/${project}/secrets/${secret}
umask 077
printf 'Authorization: Bearer %s\n' "$(access)" |
  curl --fail --silent --retry 60 --retry-delay 5 --retry-all-errors -H @- \
    "$secret/versions/latest:access" |
  node --print 'const { payload } = JSON.parse(require("fs").readFileSync(0));
    Buffer.from(payload.data, "base64").toString()' >/etc/paceline/token.part
chown paceline:paceline /etc/paceline/token.part
mv /etc/paceline/token.part /etc/paceline/token
umask 022
