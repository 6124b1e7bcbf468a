# Low cost: one vCPU and 2 GiB for a server and for each worker.
environment             = "dev"
parameter_server_cpu    = 1024
parameter_server_memory = 2048
worker_cpu              = 1024
worker_memory           = 2048
