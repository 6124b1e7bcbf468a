
cat >/etc/paceline/server.env <<END
PACELINE_COORDINATOR=${coordinator}
PACELINE_HOST=0.0.0.0
PACELINE_PORT=${server_port}
PACELINE_ADVERTISE=$(hostname):${server_port}
PACELINE_RANK=${rank}
PACELINE_TOKEN_FILE=/etc/paceline/token
PACELINE_INSECURE=true
PACELINE_START_TIMEOUT=1h
END
cat >/etc/paceline/worker.env <<END
PACELINE_COORDINATOR=${coordinator}
PACELINE_RANK=${rank}
PACELINE_TOKEN_FILE=/etc/paceline/token
PACELINE_START_TIMEOUT=1h
END
systemctl enable --now paceline-server@0.service paceline-worker@0.service
