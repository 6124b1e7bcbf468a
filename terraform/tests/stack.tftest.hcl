# What the configuration makes of its variables, with AWS mocked: names, counts, wiring.
#
#   terraform init -backend=false && terraform test
#
# make test runs it offline, against a provider that knows the schemas alone (test/terraform).

mock_provider "aws" {}

run "sync_with_four_workers_is_the_default" {
  assert {
    condition     = output.ecs_cluster_name == "distributed-ps-dev-cluster" && output.parameter_server_service_name == "distributed-ps-dev-parameter-server" && output.worker_service_name == "distributed-ps-dev-worker"
    error_message = "cluster and services are <project>-<env>-{cluster,parameter-server,worker}"
  }
  assert {
    condition     = output.parameter_server_log_group == "/ecs/distributed-ps-dev-parameter-server" && output.worker_log_group == "/ecs/distributed-ps-dev-worker"
    error_message = "log groups are /ecs/<project>-<env>-{parameter-server,worker}"
  }
  assert {
    condition     = aws_ecr_repository.parameter_server.name == "distributed-ps-dev-parameter-server" && aws_ecr_repository.worker.name == "distributed-ps-dev-worker"
    error_message = "registries have the services' names"
  }
  assert {
    condition     = aws_cloudwatch_log_group.worker.retention_in_days == 7 && aws_cloudwatch_log_group.parameter_server.retention_in_days == 7
    error_message = "logs are kept for a week"
  }
  assert {
    condition     = aws_vpc.main.cidr_block == "10.0.0.0/16" && aws_subnet.public[*].cidr_block == ["10.0.1.0/24", "10.0.2.0/24"] && aws_subnet.public[*].availability_zone == ["us-west-2a", "us-west-2b"]
    error_message = "two subnets in two zones"
  }
  assert {
    condition     = aws_ecs_service.worker[0].desired_count == 4 && length(aws_ecs_service.scaled_worker) == 0 && length(aws_appautoscaling_policy.worker) == 0
    error_message = "four workers, not scaled"
  }
  assert {
    condition     = aws_ecs_service.coordinator.enable_execute_command && aws_ecs_service.worker[0].enable_execute_command != true && aws_ecs_service.parameter_server[0].enable_execute_command != true && strcontains(aws_iam_role_policy.coordinator[0].policy, "ssmmessages:OpenDataChannel") && !strcontains(aws_iam_role_policy.member[0].policy, "ssmmessages")
    error_message = "Session Manager reaches the coordinator, and nothing else"
  }
  assert {
    condition     = one(aws_ecs_service.worker[0].capacity_provider_strategy).capacity_provider == "FARGATE"
    error_message = "workers are on demand unless worker_spot is set"
  }
  assert {
    condition     = length(aws_ecs_service.parameter_server) == 1 && aws_ecs_task_definition.parameter_server[0].cpu == "2048" && aws_ecs_task_definition.parameter_server[0].memory == "4096" && aws_ecs_task_definition.worker.cpu == "2048" && aws_ecs_task_definition.worker.memory == "4096"
    error_message = "one server and workers of 2048/4096"
  }
  assert {
    condition     = alltrue([for definition in concat([aws_ecs_task_definition.coordinator, aws_ecs_task_definition.worker, aws_ecs_task_definition.submit], aws_ecs_task_definition.parameter_server) : definition.runtime_platform[0].cpu_architecture == "X86_64"])
    error_message = "tasks are linux/amd64, as deploy.sh builds images"
  }
  assert {
    condition     = one(aws_ecs_service.coordinator.load_balancer).target_group_arn == aws_lb_target_group.parameter_server.arn && aws_lb_listener.parameter_server.default_action[0].target_group_arn == aws_lb_target_group.parameter_server.arn && aws_lb.parameter_server.internal
    error_message = "an internal load balancer fronts the coordinator"
  }
  assert {
    condition     = output.parameter_server_dns_name == "${aws_lb.parameter_server.dns_name}:8000" && output.parameter_server_discovery_names == ["parameter-server-0.distributed-ps-dev.local:8000"]
    error_message = "the coordinator is found by the load balancer's name, servers by their own"
  }
  assert {
    condition     = aws_ecs_service.coordinator.deployment_maximum_percent == 100 && aws_ecs_service.coordinator.deployment_minimum_healthy_percent == 0
    error_message = "a second coordinator never starts beside one that runs"
  }
  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.parameter_server : name => rule.referenced_security_group_id } == { worker = output.security_group_worker_id, parameter_server = output.security_group_parameter_server_id, load_balancer = aws_security_group.load_balancer.id }
    error_message = "workers and servers reach servers, the load balancer the coordinator, nobody else"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.parameter_server : rule.from_port == 8000 && rule.to_port == 8000 && rule.ip_protocol == "tcp"])
    error_message = "only the servers' port is open"
  }
  assert {
    condition     = length(aws_iam_role.task) == 3 && aws_ecs_task_definition.worker.task_role_arn == aws_iam_role.task["member"].arn && aws_ecs_task_definition.coordinator.task_role_arn == aws_iam_role.task["coordinator"].arn && aws_ecs_task_definition.worker.execution_role_arn == aws_iam_role.task["execution"].arn
    error_message = "a role each for ECS, the coordinator and members"
  }
  assert {
    condition     = !strcontains(jsonencode([for policy in [aws_iam_role_policy.execution[0], aws_iam_role_policy.coordinator[0], aws_iam_role_policy.member[0]] : [for statement in jsondecode(policy.policy).Statement : statement.Action]]), "*")
    error_message = "no role may do everything of a service"
  }
  assert {
    condition     = toset([for alarm in aws_cloudwatch_metric_alarm.run : alarm.metric_name]) == toset(["MembersLost", "SecondsWithoutStep", "RunsDiverged", "Workers"]) && alltrue([for alarm in aws_cloudwatch_metric_alarm.run : alarm.namespace == "Paceline/distributed-ps-dev"])
    error_message = "alarms watch what the coordinator prints"
  }
  assert {
    condition     = aws_budgets_budget.monthly[0].limit_amount == "50" && length(aws_budgets_budget.monthly[0].notification) == 2
    error_message = "a budget alarm at 50 USD"
  }
}

run "async_with_one_worker" {
  variables {
    server_mode        = "async"
    worker_count       = 1
    monthly_budget_usd = 0
    alarm_email        = "somebody@example.com"
  }
  assert {
    condition     = aws_ecs_service.worker[0].desired_count == 1 && length(aws_budgets_budget.monthly) == 0 && length(aws_sns_topic_subscription.alarms) == 1
    error_message = "one worker, an address for alarms and no budget"
  }
  assert {
    condition     = aws_ecs_task_definition.worker.family == run.sync_with_four_workers_is_the_default.worker_service_name
    error_message = "another mode and count changes the same stack: nothing is destroyed in between"
  }
}

run "thirty_two_workers_on_spot_and_three_servers" {
  variables {
    environment            = "prod"
    server_mode            = "sync"
    worker_count           = 32
    worker_spot            = true
    parameter_server_count = 3
    replicas               = 2
  }
  assert {
    condition     = aws_ecs_service.worker[0].desired_count == 32 && one(aws_ecs_service.worker[0].capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    error_message = "32 workers on Spot"
  }
  assert {
    condition     = alltrue([for service in concat(aws_ecs_service.parameter_server, [aws_ecs_service.coordinator]) : one(service.capacity_provider_strategy).capacity_provider == "FARGATE"])
    error_message = "servers and the coordinator are never on Spot"
  }
  assert {
    condition     = output.parameter_server_service_names == ["distributed-ps-prod-parameter-server", "distributed-ps-prod-parameter-server-1", "distributed-ps-prod-parameter-server-2"]
    error_message = "a service for each server"
  }
  assert {
    condition     = [for service in aws_ecs_service.parameter_server : one(service.network_configuration[0].subnets)] == [aws_subnet.public[0].id, aws_subnet.public[1].id, aws_subnet.public[0].id]
    error_message = "servers take turns in the zones, so that two replicas stand in two"
  }
  assert {
    condition     = [for service in aws_ecs_service.parameter_server : service.service_registries[0].registry_arn] == aws_service_discovery_service.parameter_server[*].arn && aws_service_discovery_service.parameter_server[*].name == ["parameter-server-0", "parameter-server-1", "parameter-server-2"]
    error_message = "each server has a name of its own"
  }
}

run "scaled_between_two_and_eight" {
  variables {
    server_mode      = "async"
    worker_min_count = 2
    worker_max_count = 8
    worker_spot      = true
  }
  assert {
    condition     = length(aws_ecs_service.worker) == 0 && aws_ecs_service.scaled_worker[0].desired_count == 2 && output.worker_service_name == "distributed-ps-dev-scaled-worker"
    error_message = "a service whose count is the scaler's"
  }
  assert {
    condition     = aws_appautoscaling_target.worker[0].min_capacity == 2 && aws_appautoscaling_target.worker[0].max_capacity == 8 && aws_appautoscaling_target.worker[0].resource_id == "service/distributed-ps-dev-cluster/distributed-ps-dev-scaled-worker"
    error_message = "between two and eight"
  }
  assert {
    condition     = aws_appautoscaling_policy.worker[0].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metric_name == "WorkerDemand" && length(aws_appautoscaling_policy.worker[0].target_tracking_scaling_policy_configuration[0].predefined_metric_specification) == 0
    error_message = "scaled by what jobs want, never by processor load"
  }
}

run "an_account_that_may_make_no_roles" {
  variables {
    existing_role_name = "LabRole"
    enable_tls         = false
    data_dir           = "s3://sets/published/"
  }
  override_data {
    target = data.aws_iam_role.existing[0]
    values = { arn = "arn:aws:iam::123456789012:role/LabRole" }
  }
  assert {
    condition     = length(aws_iam_role.task) == 0 && length(aws_iam_role_policy.data_bucket) == 0 && alltrue([for arn in [aws_ecs_task_definition.worker.task_role_arn, aws_ecs_task_definition.worker.execution_role_arn, aws_ecs_task_definition.coordinator.task_role_arn, aws_ecs_task_definition.submit.execution_role_arn] : arn == "arn:aws:iam::123456789012:role/LabRole"])
    error_message = "everything runs as LabRole, and no role is made"
  }
  assert {
    condition     = !strcontains(aws_ecs_task_definition.worker.container_definitions, "TLS_KEY\",\"valueFrom")
    error_message = "without TLS no key is handed out"
  }
}

run "data_sets_in_a_bucket" {
  variables {
    data_dir = "s3://sets/published/"
  }
  assert {
    condition     = toset(keys(aws_iam_role_policy.data_bucket)) == toset(["coordinator", "member"]) && jsondecode(aws_iam_role_policy.data_bucket["member"].policy).Statement[0].Resource == "arn:aws:s3:::sets/published/*" && jsondecode(aws_iam_role_policy.data_bucket["member"].policy).Statement[1].Resource == "arn:aws:s3:::sets"
    error_message = "members may read that folder of that bucket"
  }
}

run "refuses_what_can_not_be" {
  command = plan

  variables {
    availability_zones      = ["eu-central-1a", "us-west-2b"]
    environment             = "Dev 1"
    project_name            = "a-name-of-nineteen-"
    worker_count            = 33
    worker_memory           = 1024
    parameter_server_cpu    = 3000
    parameter_server_memory = 4096
    parameter_server_port   = 80
    replicas                = 2
    server_mode             = "lockstep"
    log_retention_days      = 8
    run_options             = { EPOCHS = "3" }
    stall_minutes           = 1
    monthly_budget_usd      = -1
  }

  expect_failures = [
    var.availability_zones, var.environment, var.project_name, var.worker_count, var.worker_memory, var.parameter_server_memory,
    var.parameter_server_port, var.replicas, var.server_mode, var.log_retention_days, var.run_options,
    var.stall_minutes, var.monthly_budget_usd,
  ]
}

run "refuses_parts_that_do_not_go_together" {
  command = plan

  variables {
    public_subnet_cidrs = ["10.0.1.0/24"]
    worker_min_count    = 2
  }

  expect_failures = [var.public_subnet_cidrs, var.worker_max_count]
}
