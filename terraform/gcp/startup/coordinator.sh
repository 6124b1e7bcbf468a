
cat >/etc/paceline/coordinator.env <<'END'
PACELINE_HOST=0.0.0.0
PACELINE_PORT=${coordinator_port}
PACELINE_TOKEN_FILE=/etc/paceline/token
PACELINE_RUN_DIR=/var/lib/paceline/runs
PACELINE_INSECURE=true
END

# A checkpoint's manifest comes into the bucket after all that it names: those that are there before
# the files are copied, and still are when they have been. What the bucket has of it is whole.
cat >/usr/local/bin/paceline-upload <<'END'
#!/bin/sh
set -eu
from=/var/lib/paceline/runs
to=gs://${bucket}/runs
aside=/var/lib/paceline/uploading
rm -rf "$aside"
mkdir -p "$from" "$aside"
cd "$from"
# A checkpoint that is removed meanwhile is not copied.
find . -path '*/.*' -prune -o -name manifest.json -exec cp -p --parents {} "$aside" \; || true
gcloud storage rsync --recursive --exclude='.*manifest\.json$|.*/\..*' "$from" "$to"
cd "$aside"
find . -name manifest.json -exec sh -c 'cmp -s "$1" "$2/$1" || rm "$1"' sh {} "$from" \;
gcloud storage rsync --recursive "$aside" "$to"
END
chmod 755 /usr/local/bin/paceline-upload
cat >/etc/systemd/system/paceline-upload.service <<'END'
[Unit]
Description=Runs of Paceline into the bucket
[Service]
Type=oneshot
User=paceline
StateDirectory=paceline
ExecStart=/usr/local/bin/paceline-upload
END
cat >/etc/systemd/system/paceline-upload.timer <<'END'
[Unit]
Description=Runs of Paceline into the bucket, twice a minute
[Timer]
OnBootSec=1min
OnUnitInactiveSec=30s
[Install]
WantedBy=timers.target
END
systemctl daemon-reload
systemctl enable --now paceline-coordinator.service paceline-upload.timer
