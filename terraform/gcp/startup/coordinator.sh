
cat >/etc/paceline/coordinator.env <<'END'
PACELINE_HOST=0.0.0.0
PACELINE_PORT=${coordinator_port}
PACELINE_TOKEN_FILE=/etc/paceline/token
PACELINE_RUN_DIR=/var/lib/paceline/runs
PACELINE_INSECURE=true
END

# A checkpoint's manifest comes into the bucket after all that it names: where it is, the rest is.
cat >/etc/systemd/system/paceline-upload.service <<'END'
[Unit]
Description=Runs of Paceline into the bucket
[Service]
Type=oneshot
User=paceline
ExecStart=/usr/bin/gcloud storage rsync --recursive --exclude=".*manifest.json$|.*/\\..*" /var/lib/paceline/runs gs://${bucket}/runs
ExecStart=/usr/bin/gcloud storage rsync --recursive --exclude=".*/\\..*" /var/lib/paceline/runs gs://${bucket}/runs
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
