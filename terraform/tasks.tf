# The containers. Each has one command of Paceline; what it is told stands in its environment, by
# the names of docs/config.md. test/terraform runs these commands through Paceline's own options.

locals {
  # A secret reaches a container as a variable, and Paceline reads files that only its user may read.
  secret_files = join("\n", concat(
    ["set -eu", "umask 077", "dir=$(mktemp -d)", "printf '%s\\n' \"$CLUSTER_TOKEN\" > \"$dir/token\""],
    ["export PACELINE_TOKEN_FILE=\"$dir/token\""],
    var.enable_tls ? [
      "mkdir \"$dir/tls\"",
      "printf '%s\\n' \"$TLS_CA\" > \"$dir/tls/ca.pem\"",
      "printf '%s\\n' \"$TLS_CERTIFICATE\" > \"$dir/tls/$TLS_ROLE.pem\"",
      "printf '%s\\n' \"$TLS_KEY\" > \"$dir/tls/$TLS_ROLE-key.pem\"",
      "export PACELINE_TLS=\"$dir/tls\"",
    ] : [],
    ["unset CLUSTER_TOKEN TLS_CA TLS_CERTIFICATE TLS_KEY"],
  ))

  token_secret = [{ name = "CLUSTER_TOKEN", valueFrom = "${aws_secretsmanager_secret.cluster.arn}:token::" }]

  # Per role of a certificate.
  secrets = {
    for role in ["coordinator", "server", "worker", "admin"] : role => concat(
      local.token_secret,
      var.enable_tls ? [
        { name = "TLS_CA", valueFrom = "${aws_secretsmanager_secret.cluster.arn}:ca::" },
        { name = "TLS_CERTIFICATE", valueFrom = "${aws_secretsmanager_secret.cluster.arn}:${role}::" },
        { name = "TLS_KEY", valueFrom = "${aws_secretsmanager_secret.cluster.arn}:${role}_key::" },
      ] : [],
    )
  }

  images = {
    parameter_server = "${aws_ecr_repository.parameter_server.repository_url}:${var.image_tag}"
    worker           = "${aws_ecr_repository.worker.repository_url}:${var.image_tag}"
  }

  # Members wait so long for another coordinator in place of one that was lost.
  member_environment = {
    PARAMETER_SERVER_ADDRESS   = local.coordinator_address
    PACELINE_START_TIMEOUT     = "30min"
    PACELINE_COORDINATOR_GRACE = "10min"
  }

  coordinator_environment = merge(
    {
      SERVER_PORT        = tostring(var.parameter_server_port)
      PACELINE_HOST      = "0.0.0.0"
      PACELINE_RUN_DIR   = "/runs"
      PACELINE_CACHE_DIR = "/data"
      PACELINE_EMF       = local.metric_namespace

      # ECS takes a minute or two to start a task in place of a lost one.
      PACELINE_SERVER_GRACE = "10min"
    },
    var.data_dir == "" ? {} : { PACELINE_DATA_DIR = var.data_dir },
  )

  server_environments = [for name in local.server_names : merge(local.member_environment, {
    PACELINE_HOST         = "0.0.0.0"
    PACELINE_PORT         = tostring(var.parameter_server_port)
    PACELINE_ADVERTISE    = "${name}.${aws_service_discovery_private_dns_namespace.main.name}:${var.parameter_server_port}"
    PACELINE_DRAIN_WITHIN = "100s"
  })]

  # Spot gives two minutes, of which ECS leaves 120 s to the container.
  worker_environment = merge(local.member_environment, {
    PACELINE_DATA_DIR     = var.data_dir == "" ? "/data" : var.data_dir
    PACELINE_DRAIN_WITHIN = "100s"
  })

  # What is trained, and by how many: `paceline submit` reads it. What a worker on Spot had still to
  # do of an epoch when it went is dealt to others, unless run_options say otherwise.
  submit_environment = merge(var.worker_spot ? { PACELINE_FEED = "leased" } : {}, var.run_options, {
    DATA_MOUNT               = "/data"
    PARAMETER_SERVER_ADDRESS = local.coordinator_address
    SERVER_MODE              = var.server_mode
    TOTAL_WORKERS_EXPECTED   = local.workers_wanted
    PACELINE_SERVERS         = tostring(var.parameter_server_count)
    PACELINE_REPLICAS        = tostring(var.replicas)
  })

  # A published set is fetched once, before any worker looks for it.
  fetch_data = "if [ -n \"$${PACELINE_DATA:-}\" ]; then PACELINE_CACHE_DIR=\"$DATA_MOUNT\" paceline data fetch \"$PACELINE_DATA\"; fi"

  # Each kind of container: image, words, environment, secrets, log.
  containers = {
    coordinator = {
      image       = local.images.parameter_server
      before      = ""
      command     = "paceline coordinator --serve --take-over"
      environment = local.coordinator_environment
      role        = "coordinator"
      group       = aws_cloudwatch_log_group.parameter_server.name
      port        = var.parameter_server_port
      mounts      = [{ sourceVolume = "runs", containerPath = "/runs", readOnly = false }, { sourceVolume = "data", containerPath = "/data", readOnly = false }]
    }
    worker = {
      image       = local.images.worker
      before      = ""
      command     = "paceline worker"
      environment = local.worker_environment
      role        = "worker"
      group       = aws_cloudwatch_log_group.worker.name
      port        = null
      mounts      = [{ sourceVolume = "data", containerPath = "/data", readOnly = true }]
    }
    submit = {
      image       = local.images.parameter_server
      before      = var.data_dir == "" ? local.fetch_data : ""
      command     = "paceline submit --wait"
      environment = local.submit_environment
      role        = "admin"
      group       = aws_cloudwatch_log_group.parameter_server.name
      port        = null
      mounts      = [{ sourceVolume = "data", containerPath = "/data", readOnly = false }]
    }
  }

  servers = {
    for index, name in local.server_names : name => {
      image       = local.images.parameter_server
      before      = ""
      command     = "paceline server"
      environment = local.server_environments[index]
      role        = "server"
      group       = aws_cloudwatch_log_group.parameter_server.name
      port        = var.parameter_server_port
      mounts      = []
    }
  }

  definitions = {
    for name, container in merge(local.containers, local.servers) : name => jsonencode([{
      name         = name
      image        = container.image
      essential    = true
      entryPoint   = ["/bin/sh", "-c"]
      command      = ["${local.secret_files}\n${container.before}\nexec ${container.command}"]
      environment  = [for key, value in merge(container.environment, { TLS_ROLE = container.role }) : { name = key, value = value }]
      secrets      = local.secrets[container.role]
      mountPoints  = container.mounts
      portMappings = container.port == null ? [] : [{ containerPort = container.port, protocol = "tcp" }]
      stopTimeout  = 120

      # An image that names a socket for it is asked whether its process lives; one that is frozen is
      # replaced. The task that submits a run only waits.
      healthCheck = name == "submit" ? null : {
        command     = ["CMD-SHELL", "[ -z \"$PACELINE_HEALTH_SOCKET\" ] || paceline health"]
        interval    = 60
        timeout     = 15
        retries     = 3
        startPeriod = 120
      }

      # Frames of one chunk each way for every worker need many open files.
      ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

      # Signals reach Paceline, and nothing stays behind as a zombie.
      linuxParameters = { initProcessEnabled = true }

      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = container.group
          awslogs-region        = var.aws_region
          awslogs-stream-prefix = startswith(name, "parameter-server") ? "server" : name
        }
      }
    }])
  }
}

resource "aws_cloudwatch_log_group" "parameter_server" {
  name              = "/ecs/${local.name}-parameter-server"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/ecs/${local.name}-worker"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "coordinator" {
  family                   = "${local.name}-coordinator"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.coordinator_cpu
  memory                   = var.coordinator_memory
  execution_role_arn       = local.execution_role_arn
  task_role_arn            = local.coordinator_role_arn
  container_definitions    = local.definitions["coordinator"]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  dynamic "volume" {
    for_each = aws_efs_access_point.run_store

    content {
      name = volume.key

      efs_volume_configuration {
        file_system_id     = aws_efs_file_system.run_store.id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = volume.value.id
          iam             = "ENABLED"
        }
      }
    }
  }
}

resource "aws_ecs_task_definition" "parameter_server" {
  count = var.parameter_server_count

  family                   = count.index == 0 ? "${local.name}-parameter-server" : "${local.name}-${local.server_names[count.index]}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.parameter_server_cpu
  memory                   = var.parameter_server_memory
  execution_role_arn       = local.execution_role_arn
  task_role_arn            = local.member_role_arn
  container_definitions    = local.definitions[local.server_names[count.index]]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }
}

resource "aws_ecs_task_definition" "worker" {
  family                   = "${local.name}-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.worker_cpu
  memory                   = var.worker_memory
  execution_role_arn       = local.execution_role_arn
  task_role_arn            = local.member_role_arn
  container_definitions    = local.definitions["worker"]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "data"

    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.run_store.id
      transit_encryption = "ENABLED"

      authorization_config {
        access_point_id = aws_efs_access_point.run_store["data"].id
        iam             = "ENABLED"
      }
    }
  }
}

# Not a service: each run is a task of this definition, which ends with the run and its exit code.
resource "aws_ecs_task_definition" "submit" {
  family                   = "${local.name}-submit"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 1024
  execution_role_arn       = local.execution_role_arn
  task_role_arn            = local.coordinator_role_arn
  container_definitions    = local.definitions["submit"]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "data"

    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.run_store.id
      transit_encryption = "ENABLED"

      authorization_config {
        access_point_id = aws_efs_access_point.run_store["data"].id
        iam             = "ENABLED"
      }
    }
  }
}
