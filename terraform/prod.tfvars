# Speed, and no update lost with a server or a zone.
environment             = "prod"
parameter_server_cpu    = 4096
parameter_server_memory = 8192
worker_cpu              = 4096
worker_memory           = 8192
parameter_server_count  = 2
replicas                = 2
log_retention_days      = 30
