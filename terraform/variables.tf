variable "aws_region" {
  description = "Region in which everything is made"
  type        = string
  default     = "us-west-2"
}

variable "project_name" {
  description = "First part of every name"
  type        = string
  default     = "distributed-ps"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,16}[a-z0-9]$", var.project_name))
    error_message = "project_name is 3 to 18 lower-case letters, digits and dashes, the first a letter and the last no dash: a load balancer may have 32 characters, of which environment and endings take 14."
  }
}

variable "environment" {
  description = "Second part of every name: two environments of a project stand beside each other"
  type        = string
  default     = "dev"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment is 2 to 8 lower-case letters and digits, the first a letter, such as dev or prod."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC"
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0))
    error_message = "vpc_cidr is a range of IPv4 addresses such as 10.0.0.0/16."
  }
}

variable "public_subnet_cidrs" {
  description = "Addresses of the subnets, one for each zone"
  type        = list(string)
  default     = ["10.0.1.0/24", "10.0.2.0/24"]

  validation {
    condition     = length(var.public_subnet_cidrs) == length(var.availability_zones)
    error_message = "public_subnet_cidrs needs one range for each of availability_zones."
  }
}

variable "availability_zones" {
  description = "Zones of the subnets; servers take turns in them"
  type        = list(string)
  default     = ["us-west-2a", "us-west-2b"]

  validation {
    condition     = length(var.availability_zones) >= 2
    error_message = "availability_zones needs two zones or more: replicas of a chunk stand in two of them."
  }

  validation {
    condition     = alltrue([for zone in var.availability_zones : startswith(zone, var.aws_region)])
    error_message = "availability_zones are not zones of aws_region: with -var aws_region=eu-central-1 also give -var 'availability_zones=[\"eu-central-1a\",\"eu-central-1b\"]'."
  }
}

variable "parameter_server_port" {
  description = "Port of the coordinator and of every server"
  type        = number
  default     = 8000

  validation {
    condition     = var.parameter_server_port >= 1024 && var.parameter_server_port <= 65535
    error_message = "parameter_server_port is from 1024 to 65535: the containers do not run as root."
  }
}

variable "parameter_server_cpu" {
  description = "CPU units of a server (1024 = 1 vCPU)"
  type        = number
  default     = 2048
}

variable "parameter_server_memory" {
  description = "Memory of a server, in MiB"
  type        = number
  default     = 4096

  validation {
    condition     = contains(lookup(local.fargate_sizes, var.parameter_server_cpu, []), var.parameter_server_memory)
    error_message = "Fargate has no such size: parameter_server_cpu 1024 goes with 2048 to 8192 MiB, 2048 with 4096 to 16384, 4096 with 8192 to 30720, in steps of 1024."
  }
}

variable "worker_cpu" {
  description = "CPU units of a worker (1024 = 1 vCPU)"
  type        = number
  default     = 2048
}

variable "worker_memory" {
  description = "Memory of a worker, in MiB"
  type        = number
  default     = 4096

  validation {
    condition     = contains(lookup(local.fargate_sizes, var.worker_cpu, []), var.worker_memory)
    error_message = "Fargate has no such size: worker_cpu 1024 goes with 2048 to 8192 MiB, 2048 with 4096 to 16384, 4096 with 8192 to 30720, in steps of 1024."
  }
}

variable "coordinator_cpu" {
  description = "CPU units of the coordinator"
  type        = number
  default     = 512
}

variable "coordinator_memory" {
  description = "Memory of the coordinator, in MiB"
  type        = number
  default     = 2048

  validation {
    condition     = contains(lookup(local.fargate_sizes, var.coordinator_cpu, []), var.coordinator_memory)
    error_message = "Fargate has no such size: coordinator_cpu 512 goes with 1024 to 4096 MiB, 1024 with 2048 to 8192, in steps of 1024."
  }
}

variable "worker_count" {
  description = "Workers of a run, each a task"
  type        = number
  default     = 4

  validation {
    condition     = var.worker_count >= 1 && var.worker_count <= 32 && floor(var.worker_count) == var.worker_count
    error_message = "worker_count is a whole number from 1 to 32."
  }
}

variable "worker_min_count" {
  description = "Fewest workers while worker_max_count has the service scaled; worker_count if left out"
  type        = number
  default     = null

  validation {
    condition     = coalesce(var.worker_min_count, 1) >= 1
    error_message = "worker_min_count is 1 or more."
  }
}

variable "worker_max_count" {
  description = "Most workers: the service is scaled by what the coordinator's jobs want; null keeps worker_count"
  type        = number
  default     = null

  validation {
    condition     = var.worker_max_count != null || var.worker_min_count == null
    error_message = "worker_min_count is for scaling: give worker_max_count too, or leave it out."
  }

  validation {
    condition     = var.worker_max_count == null || (coalesce(var.worker_max_count, 0) >= coalesce(var.worker_min_count, var.worker_count) && coalesce(var.worker_max_count, 0) <= 32)
    error_message = "worker_max_count is at least worker_min_count (worker_count where that is left out) and at most 32."
  }
}

variable "worker_spot" {
  description = "Workers run on Fargate Spot: cheaper, and ended with two minutes' notice"
  type        = bool
  default     = false
}

variable "parameter_server_count" {
  description = "Servers, each with a shard of the parameters"
  type        = number
  default     = 1

  validation {
    condition     = var.parameter_server_count >= 1 && var.parameter_server_count <= 16 && floor(var.parameter_server_count) == var.parameter_server_count
    error_message = "parameter_server_count is a whole number from 1 to 16."
  }
}

variable "replicas" {
  description = "Servers that hold each chunk; with 2 no update is lost with a server, or with a zone"
  type        = number
  default     = 1

  validation {
    condition     = var.replicas >= 1 && var.replicas <= var.parameter_server_count
    error_message = "replicas is from 1 to parameter_server_count."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps logs"
  type        = number
  default     = 7

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_retention_days)
    error_message = "log_retention_days is one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 and 365."
  }
}

variable "server_mode" {
  description = "How workers keep pace: sync, async, or another mode of paceline train --mode"
  type        = string
  default     = "sync"

  validation {
    condition     = contains(["sync", "async", "bsp", "ssp", "asp", "k-of-n", "quorum", "dssp", "ringmaster", "local", "local-async"], var.server_mode)
    error_message = "server_mode is sync, async, bsp, ssp, asp, k-of-n, quorum, dssp, ringmaster, local or local-async."
  }
}

variable "run_options" {
  description = "What is trained: options of paceline submit by their names in the environment"
  type        = map(string)
  default = {
    PACELINE_MODEL      = "resnet18"
    PACELINE_DATA       = "cifar100"
    PACELINE_EPOCHS     = "3"
    PACELINE_BATCH_SIZE = "128"
    PACELINE_LR         = "0.1"
    PACELINE_AUGMENT    = "crop,flip"
    PACELINE_COMPRESS   = "fp16"
  }

  validation {
    condition     = alltrue([for name in keys(var.run_options) : startswith(name, "PACELINE_")])
    error_message = "run_options has names of Paceline's options, such as PACELINE_EPOCHS: see docs/config.md."
  }
}

variable "data_dir" {
  description = "Folder or URL of the data sets, such as s3://bucket/data; empty: published sets are fetched once, to the run store"
  type        = string
  default     = ""
}

variable "enable_tls" {
  description = "Mutual TLS between all tasks, beside the token; deploy.sh makes the certificates"
  type        = bool
  default     = true
}

variable "image_tag" {
  description = "Tag of both images; deploy.sh writes the one that it pushed to deploy.auto.tfvars"
  type        = string
  default     = "latest"
}

variable "existing_role_name" {
  description = "A role that is there, such as LabRole, for accounts that may make none; empty makes roles of least privilege"
  type        = string
  default     = ""
}

variable "stall_minutes" {
  description = "Minutes without a step, while a job runs, before the alarm goes off"
  type        = number
  default     = 10

  validation {
    condition     = var.stall_minutes >= 2
    error_message = "stall_minutes is 2 or more: figures come once a minute."
  }
}

variable "alarm_email" {
  description = "Where alarms go, by e-mail; empty for nowhere"
  type        = string
  default     = ""
}

variable "monthly_budget_usd" {
  description = "Spending of the account in a month that raises the budget alarm; 0 for no alarm"
  type        = number
  default     = 50

  validation {
    condition     = var.monthly_budget_usd >= 0
    error_message = "monthly_budget_usd is 0 or more."
  }
}
