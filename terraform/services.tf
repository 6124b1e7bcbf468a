resource "aws_ecs_cluster" "main" {
  name = "${local.name}-cluster"

  setting {
    name  = "containerInsights"
    value = "disabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "main" {
  cluster_name       = aws_ecs_cluster.main.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

# One at a time: the old one has stopped before another starts, so that the run store has one writer.
resource "aws_ecs_service" "coordinator" {
  name                               = "${local.name}-coordinator"
  cluster                            = aws_ecs_cluster.main.id
  task_definition                    = aws_ecs_task_definition.coordinator.arn
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  health_check_grace_period_seconds  = 60
  propagate_tags                     = "SERVICE"

  # Session Manager forwards a port of an administrator's machine to it: paceline aws experiments.
  enable_execute_command = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = aws_subnet.public[*].id
    security_groups  = [aws_security_group.parameter_server.id]
    assign_public_ip = true
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.parameter_server.arn
    container_name   = "coordinator"
    container_port   = var.parameter_server_port
  }

  depends_on = [
    aws_lb_listener.parameter_server,
    aws_ecs_cluster_capacity_providers.main,
    aws_efs_mount_target.run_store,
    aws_efs_file_system_policy.run_store,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.coordinator,
    aws_route.internet,
  ]
}

# A service for each server: its name and its zone stay when its task is replaced, and neighbours on
# the ring of servers stand in different zones.
resource "aws_ecs_service" "parameter_server" {
  count = var.parameter_server_count

  name                               = count.index == 0 ? "${local.name}-parameter-server" : "${local.name}-${local.server_names[count.index]}"
  cluster                            = aws_ecs_cluster.main.id
  task_definition                    = aws_ecs_task_definition.parameter_server[count.index].arn
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  propagate_tags                     = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = [aws_subnet.public[count.index % length(aws_subnet.public)].id]
    security_groups  = [aws_security_group.parameter_server.id]
    assign_public_ip = true
  }

  service_registries {
    registry_arn = aws_service_discovery_service.parameter_server[count.index].arn
  }

  depends_on = [
    aws_ecs_cluster_capacity_providers.main,
    aws_iam_role_policy.execution,
    aws_route.internet,
  ]
}

# Workers do not end with a run: they wait for the next one, and a worker that is lost is replaced
# by one that takes its rank. So this service never has to be made anew between runs.
resource "aws_ecs_service" "worker" {
  count = local.scales ? 0 : 1

  name                               = "${local.name}-worker"
  cluster                            = aws_ecs_cluster.main.id
  task_definition                    = aws_ecs_task_definition.worker.arn
  desired_count                      = var.worker_count
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  propagate_tags                     = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = var.worker_spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = aws_subnet.public[*].id
    security_groups  = [aws_security_group.worker.id]
    assign_public_ip = true
  }

  depends_on = [
    aws_ecs_cluster_capacity_providers.main,
    aws_efs_mount_target.run_store,
    aws_efs_file_system_policy.run_store,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.member,
    aws_route.internet,
  ]
}

# The same where the number of workers is the scaler's matter, not Terraform's.
resource "aws_ecs_service" "scaled_worker" {
  count = local.scales ? 1 : 0

  name                               = "${local.name}-scaled-worker"
  cluster                            = aws_ecs_cluster.main.id
  task_definition                    = aws_ecs_task_definition.worker.arn
  desired_count                      = local.worker_min_count
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  propagate_tags                     = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = var.worker_spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = aws_subnet.public[*].id
    security_groups  = [aws_security_group.worker.id]
    assign_public_ip = true
  }

  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [
    aws_ecs_cluster_capacity_providers.main,
    aws_efs_mount_target.run_store,
    aws_efs_file_system_policy.run_store,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.member,
    aws_route.internet,
  ]
}

locals {
  worker_service_name = local.scales ? aws_ecs_service.scaled_worker[0].name : aws_ecs_service.worker[0].name
}

# WorkerDemand is what the coordinator's jobs want divided by what is there: 2 where a run that takes
# 8 workers has 4, 1 where all have what they want, 0 without a job. Processor load would say
# nothing: a worker computes as fast as it can however many there are.
resource "aws_appautoscaling_target" "worker" {
  count = local.scales ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.scaled_worker[0].name}"
  min_capacity       = local.worker_min_count
  max_capacity       = local.worker_max_count
}

resource "aws_appautoscaling_policy" "worker" {
  count = local.scales ? 1 : 0

  name               = "${local.name}-worker-demand"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.worker[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.worker[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.worker[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = 1
    scale_out_cooldown = 60
    scale_in_cooldown  = 600

    customized_metric_specification {
      metric_name = "WorkerDemand"
      namespace   = local.metric_namespace
      statistic   = "Average"

      dimensions {
        name  = "Role"
        value = "coordinator"
      }
    }
  }
}
