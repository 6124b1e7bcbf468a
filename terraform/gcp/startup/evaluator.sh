
# Manifests first, then all that they name, then the manifests where `paceline eval` looks: what it
# finds is whole.
cat >/usr/local/bin/paceline-download <<'END'
#!/bin/sh
set -eu
from=gs://${bucket}/runs
to=/var/lib/paceline/runs
aside=/var/lib/paceline/manifests
mkdir -p "$to" "$aside"
gcloud storage rsync --recursive --exclude='^(?!.*manifest\.json$).*$' "$from" "$aside"
gcloud storage rsync --recursive --exclude='.*manifest\.json$' "$from" "$to"
cp -R "$aside/." "$to/"
END
chmod 755 /usr/local/bin/paceline-download
cat >/etc/systemd/system/paceline-download.service <<'END'
[Unit]
Description=Runs of Paceline from the bucket
[Service]
Type=oneshot
User=paceline
StateDirectory=paceline
ExecStart=/usr/local/bin/paceline-download
END
cat >/etc/systemd/system/paceline-download.timer <<'END'
[Unit]
Description=Runs of Paceline from the bucket, twice a minute
[Timer]
OnBootSec=1min
OnUnitInactiveSec=30s
[Install]
WantedBy=timers.target
END
# systemctl start paceline-evaluator@RUN follows a run of that name.
cat >/etc/systemd/system/paceline-evaluator@.service <<'END'
[Unit]
Description=Evaluator of run %i
[Service]
User=paceline
WorkingDirectory=/var/lib/paceline
ExecStart=/opt/paceline/bin/paceline eval --follow %i --wait --start-timeout 24h
END
systemctl daemon-reload
systemctl enable --now paceline-download.timer
