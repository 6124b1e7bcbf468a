# The run store: run folders with checkpoints, the queue of jobs, and data sets that were fetched.
# It outlives every task, so that another coordinator goes on where one was lost.

resource "aws_efs_file_system" "run_store" {
  creation_token  = "${local.name}-run-store"
  encrypted       = true
  throughput_mode = "elastic"
  tags            = { Name = "${local.name}-run-store" }
}

resource "aws_efs_mount_target" "run_store" {
  count = length(aws_subnet.public)

  file_system_id  = aws_efs_file_system.run_store.id
  subnet_id       = aws_subnet.public[count.index].id
  security_groups = [aws_security_group.run_store.id]
}

resource "aws_efs_access_point" "run_store" {
  for_each = toset(["runs", "data"])

  file_system_id = aws_efs_file_system.run_store.id

  # Whichever user an image runs as, files belong to this one.
  posix_user {
    uid = 1000
    gid = 1000
  }

  root_directory {
    path = "/${each.key}"

    creation_info {
      owner_uid   = 1000
      owner_gid   = 1000
      permissions = "0750"
    }
  }

  tags = { Name = "${local.name}-${each.key}" }
}

resource "aws_efs_file_system_policy" "run_store" {
  file_system_id = aws_efs_file_system.run_store.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "CoordinatorWrites"
        Effect    = "Allow"
        Principal = { AWS = local.coordinator_role_arn }
        Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        Resource  = aws_efs_file_system.run_store.arn
      },
      {
        Sid       = "WorkersReadData"
        Effect    = "Allow"
        Principal = { AWS = local.member_role_arn }
        Action    = ["elasticfilesystem:ClientMount"]
        Resource  = aws_efs_file_system.run_store.arn
        Condition = {
          StringEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.run_store["data"].arn }
        }
      },
      {
        Sid       = "OnlyEncrypted"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = aws_efs_file_system.run_store.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# The token and the certificates. deploy.sh makes them and puts them here, so that they are in no
# state file; tasks get them as what Paceline reads from files.
resource "aws_secretsmanager_secret" "cluster" {
  name        = "${local.name}-cluster"
  description = "Token and certificates of ${local.name}"

  # A stack that is made again under its name must not find a secret that waits to be deleted.
  recovery_window_in_days = 0
}

resource "aws_ecr_repository" "parameter_server" {
  name = "${local.name}-parameter-server"

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_repository" "worker" {
  name = "${local.name}-worker"

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  for_each = {
    parameter_server = aws_ecr_repository.parameter_server.name
    worker           = aws_ecr_repository.worker.name
  }

  repository = each.value

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keep the latest ten"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
      action       = { type = "expire" }
    }]
  })
}
