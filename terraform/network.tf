resource "aws_vpc" "main" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = "${local.name}-vpc" }
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = local.name }
}

resource "aws_subnet" "public" {
  count = length(var.public_subnet_cidrs)

  vpc_id                  = aws_vpc.main.id
  cidr_block              = var.public_subnet_cidrs[count.index]
  availability_zone       = var.availability_zones[count.index]
  map_public_ip_on_launch = true
  tags                    = { Name = "${local.name}-public-${count.index}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "${local.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route_table_association" "public" {
  count = length(aws_subnet.public)

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

# Who may call whom:
#
#   worker, server, submit -> load balancer -> coordinator
#   worker -> server, server -> server, coordinator -> server
#   coordinator, worker, server -> run store
#
# The coordinator and the servers share a group, as the parameter server of one task did.

resource "aws_security_group" "parameter_server" {
  name        = "${local.name}-parameter-server"
  description = "Coordinator and servers"
  vpc_id      = aws_vpc.main.id
}

resource "aws_security_group" "worker" {
  name        = "${local.name}-worker"
  description = "Workers"
  vpc_id      = aws_vpc.main.id
}

resource "aws_security_group" "load_balancer" {
  name        = "${local.name}-load-balancer"
  description = "Load balancer before the coordinator"
  vpc_id      = aws_vpc.main.id
}

resource "aws_security_group" "run_store" {
  name        = "${local.name}-run-store"
  description = "Mount targets of the run store"
  vpc_id      = aws_vpc.main.id
}

locals {
  parameter_server_callers = {
    worker           = aws_security_group.worker.id
    parameter_server = aws_security_group.parameter_server.id
    load_balancer    = aws_security_group.load_balancer.id
  }
  members = {
    worker           = aws_security_group.worker.id
    parameter_server = aws_security_group.parameter_server.id
  }
}

resource "aws_vpc_security_group_ingress_rule" "parameter_server" {
  for_each = local.parameter_server_callers

  security_group_id            = aws_security_group.parameter_server.id
  referenced_security_group_id = each.value
  from_port                    = var.parameter_server_port
  to_port                      = var.parameter_server_port
  ip_protocol                  = "tcp"
  description                  = "From ${replace(each.key, "_", " ")}"
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = local.members

  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = each.value
  from_port                    = var.parameter_server_port
  to_port                      = var.parameter_server_port
  ip_protocol                  = "tcp"
  description                  = "From ${replace(each.key, "_", " ")}"
}

resource "aws_vpc_security_group_ingress_rule" "run_store" {
  for_each = local.members

  security_group_id            = aws_security_group.run_store.id
  referenced_security_group_id = each.value
  from_port                    = 2049
  to_port                      = 2049
  ip_protocol                  = "tcp"
  description                  = "NFS from ${replace(each.key, "_", " ")}"
}

# Images, secrets, logs and data sets come from outside of the VPC.
resource "aws_vpc_security_group_egress_rule" "members" {
  for_each = local.members

  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
  description       = "Anywhere"
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = aws_security_group.parameter_server.id
  from_port                    = var.parameter_server_port
  to_port                      = var.parameter_server_port
  ip_protocol                  = "tcp"
  description                  = "To the coordinator"
}
