output "vpc_id" {
  description = "ID of the VPC"
  value       = aws_vpc.main.id
}

output "public_subnet_cidrs" {
  description = "Ranges of the subnets, for destroy.sh"
  value       = var.public_subnet_cidrs
}

output "public_subnet_ids" {
  description = "IDs of the subnets"
  value       = aws_subnet.public[*].id
}

output "ecs_cluster_name" {
  description = "Name of the cluster"
  value       = aws_ecs_cluster.main.name
}

output "ecs_cluster_arn" {
  description = "ARN of the cluster"
  value       = aws_ecs_cluster.main.arn
}

output "parameter_server_ecr_repository_url" {
  description = "Registry of the image of coordinator and servers"
  value       = aws_ecr_repository.parameter_server.repository_url
}

output "worker_ecr_repository_url" {
  description = "Registry of the workers' image"
  value       = aws_ecr_repository.worker.repository_url
}

output "coordinator_service_name" {
  description = "Service of the coordinator"
  value       = aws_ecs_service.coordinator.name
}

output "parameter_server_service_name" {
  description = "Service of the first server"
  value       = aws_ecs_service.parameter_server[0].name
}

output "parameter_server_service_names" {
  description = "Services of all servers"
  value       = aws_ecs_service.parameter_server[*].name
}

output "worker_service_name" {
  description = "Service of the workers"
  value       = local.worker_service_name
}

output "parameter_server_log_group" {
  description = "Logs of the coordinator, the servers and submitted runs"
  value       = aws_cloudwatch_log_group.parameter_server.name
}

output "worker_log_group" {
  description = "Logs of the workers"
  value       = aws_cloudwatch_log_group.worker.name
}

output "parameter_server_nlb_dns_name" {
  description = "Load balancer before the coordinator"
  value       = aws_lb.parameter_server.dns_name
}

output "parameter_server_dns_name" {
  description = "host:port of the coordinator, within the VPC"
  value       = local.coordinator_address
}

output "parameter_server_discovery_names" {
  description = "host:port of each server, within the VPC"
  value       = [for name in local.server_names : "${name}.${aws_service_discovery_private_dns_namespace.main.name}:${var.parameter_server_port}"]
}

output "security_group_parameter_server_id" {
  description = "Security group of the coordinator and the servers"
  value       = aws_security_group.parameter_server.id
}

output "security_group_worker_id" {
  description = "Security group of the workers"
  value       = aws_security_group.worker.id
}

output "submit_task_definition" {
  description = "Task definition that starts a run"
  value       = aws_ecs_task_definition.submit.arn
}

output "cluster_secret_arn" {
  description = "Secret with the token and the certificates"
  value       = aws_secretsmanager_secret.cluster.arn
}

output "run_store_id" {
  description = "File system with run folders and data sets"
  value       = aws_efs_file_system.run_store.id
}

output "dashboard_name" {
  description = "CloudWatch dashboard"
  value       = aws_cloudwatch_dashboard.main.dashboard_name
}

output "metric_namespace" {
  description = "CloudWatch namespace of the coordinator's figures"
  value       = local.metric_namespace
}

output "aws_region" {
  description = "Region"
  value       = var.aws_region
}

output "availability_zones" {
  description = "Zones of the subnets"
  value       = var.availability_zones
}

output "project_name" {
  description = "First part of every name; the tag Project"
  value       = var.project_name
}

output "environment" {
  description = "Second part of every name; the tag Environment"
  value       = var.environment
}
