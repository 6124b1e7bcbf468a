locals {
  name = "${var.project_name}-${var.environment}"

  # What Fargate offers: CPU units and the MiB that go with them.
  fargate_sizes = {
    256   = [512, 1024, 2048]
    512   = range(1024, 4097, 1024)
    1024  = range(2048, 8193, 1024)
    2048  = range(4096, 16385, 1024)
    4096  = range(8192, 30721, 1024)
    8192  = range(16384, 61441, 4096)
    16384 = range(32768, 122881, 8192)
  }

  scales           = var.worker_max_count != null
  worker_min_count = coalesce(var.worker_min_count, var.worker_count)
  worker_max_count = coalesce(var.worker_max_count, var.worker_count)

  # A run of a range begins with its minimum and takes workers as they come.
  workers_wanted = local.scales ? "${local.worker_min_count}:${local.worker_max_count}" : tostring(var.worker_count)

  # Each server has a name of its own, which stays when its task is replaced.
  server_names        = [for index in range(var.parameter_server_count) : "parameter-server-${index}"]
  coordinator_address = "${aws_lb.parameter_server.dns_name}:${var.parameter_server_port}"
  metric_namespace    = "Paceline/${local.name}"
}
