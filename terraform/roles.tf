# Three roles, or one that is there already. ECS itself takes "execution" to pull images, read
# secrets and write logs; "coordinator" writes to the run store (the coordinator, and the task that
# submits a run and fetches its data set); "member" reads data sets (servers and workers).

data "aws_iam_role" "existing" {
  count = var.existing_role_name == "" ? 0 : 1
  name  = var.existing_role_name
}

locals {
  makes_roles = var.existing_role_name == ""
  role_names  = local.makes_roles ? toset(["execution", "coordinator", "member"]) : toset([])

  execution_role_arn   = local.makes_roles ? aws_iam_role.task["execution"].arn : data.aws_iam_role.existing[0].arn
  coordinator_role_arn = local.makes_roles ? aws_iam_role.task["coordinator"].arn : data.aws_iam_role.existing[0].arn
  member_role_arn      = local.makes_roles ? aws_iam_role.task["member"].arn : data.aws_iam_role.existing[0].arn
}

resource "aws_iam_role" "task" {
  for_each = local.role_names

  name = "${local.name}-${each.key}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "execution" {
  count = local.makes_roles ? 1 : 0

  name = "pull-images-read-secrets-write-logs"
  role = aws_iam_role.task["execution"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = [aws_ecr_repository.parameter_server.arn, aws_ecr_repository.worker.arn]
      },
      {
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = aws_secretsmanager_secret.cluster.arn
      },
      {
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [
          "${aws_cloudwatch_log_group.parameter_server.arn}:*",
          "${aws_cloudwatch_log_group.worker.arn}:*",
        ]
      },
    ]
  })
}

resource "aws_iam_role_policy" "coordinator" {
  count = local.makes_roles ? 1 : 0

  name = "write-run-store"
  role = aws_iam_role.task["coordinator"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        Resource = aws_efs_file_system.run_store.arn
      },
      {
        # Forwarded ports end in its container; these actions know no resources.
        Effect = "Allow"
        Action = [
          "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel",
        ]
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_role_policy" "member" {
  count = local.makes_roles ? 1 : 0

  name = "read-data-sets"
  role = aws_iam_role.task["member"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "elasticfilesystem:ClientMount"
      Resource = aws_efs_file_system.run_store.arn
      Condition = {
        StringEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.run_store["data"].arn }
      }
    }]
  })
}

# Data sets in a bucket: what data_dir names, and nothing else.
resource "aws_iam_role_policy" "data_bucket" {
  for_each = startswith(var.data_dir, "s3://") ? setintersection(local.role_names, ["coordinator", "member"]) : toset([])

  name = "read-data-bucket"
  role = aws_iam_role.task[each.key].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:aws:s3:::${trimsuffix(trimprefix(var.data_dir, "s3://"), "/")}/*"
      },
      {
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = "arn:aws:s3:::${split("/", trimprefix(var.data_dir, "s3://"))[0]}"
      },
    ]
  })
}
