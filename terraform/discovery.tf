# Members find the coordinator behind an internal load balancer, whose name outlives its tasks, and
# each server by a name of its own in a private zone.

resource "aws_lb" "parameter_server" {
  name                             = "${local.name}-nlb"
  internal                         = true
  load_balancer_type               = "network"
  subnets                          = aws_subnet.public[*].id
  security_groups                  = [aws_security_group.load_balancer.id]
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "parameter_server" {
  name                   = "${local.name}-tg"
  port                   = var.parameter_server_port
  protocol               = "TCP"
  target_type            = "ip"
  vpc_id                 = aws_vpc.main.id
  deregistration_delay   = 10
  connection_termination = true

  # The coordinator counts connections by address, so it is told the members' own.
  preserve_client_ip = true

  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "parameter_server" {
  load_balancer_arn = aws_lb.parameter_server.arn
  port              = var.parameter_server_port
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.parameter_server.arn
  }
}

resource "aws_service_discovery_private_dns_namespace" "main" {
  name        = "${local.name}.local"
  description = "Servers of ${local.name}"
  vpc         = aws_vpc.main.id
}

resource "aws_service_discovery_service" "parameter_server" {
  count = var.parameter_server_count

  name          = local.server_names[count.index]
  force_destroy = true

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.main.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 5
    }
  }
}
