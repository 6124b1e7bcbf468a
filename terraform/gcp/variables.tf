variable "project" {
  description = "Id of the Google Cloud project that pays."
  type        = string
}

variable "region" {
  description = "Region of the network and of the bucket."
  type        = string
  default     = "us-west1"
}

variable "zone" {
  description = "Zone of the instances; all are in one, as pushes go between them all the time."
  type        = string
  default     = "us-west1-b"

  validation {
    condition     = startswith(var.zone, "${var.region}-")
    error_message = "The zone is not in the region; write one such as us-west1-b for us-west1."
  }
}

variable "project_name" {
  description = "First part of every name."
  type        = string
  default     = "paceline"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.project_name))
    error_message = "Names have 2 to 20 of a-z, 0-9 and -, and begin with a letter."
  }
}

variable "environment" {
  description = "Second part of every name."
  type        = string
  default     = "dev"
}

variable "image" {
  description = "Image or image family with Paceline, made by deploy/image/build-gcp.sh."
  type        = string
  default     = "paceline"
}

variable "worker_count" {
  description = "Instances with a worker, each with a server beside it, as Sync-Switch places them."
  type        = number
  default     = 8

  validation {
    condition     = var.worker_count >= 1 && var.worker_count <= 32
    error_message = "The number of instances is 1 to 32."
  }
}

variable "worker_machine_type" {
  description = "Machine type of the instances with a server and a worker."
  type        = string
  default     = "c3-standard-8"
}

variable "coordinator_machine_type" {
  description = "Machine type of the coordinator's instance."
  type        = string
  default     = "e2-standard-2"
}

variable "evaluator_machine_type" {
  description = "Machine type of the evaluator's instance."
  type        = string
  default     = "e2-standard-4"
}

variable "evaluator" {
  description = "Whether an instance evaluates checkpoints while a run trains."
  type        = bool
  default     = true
}

variable "spot" {
  description = "Whether workers' instances are spot instances, which cost less and may go at any time."
  type        = bool
  default     = false
}

variable "replicas" {
  description = "How many servers have each chunk; with spot instances at least 2."
  type        = number
  default     = 1

  validation {
    condition     = var.replicas >= 1 && (!var.spot || var.replicas >= 2)
    error_message = "Spot instances take their servers with them; write replicas = 2 beside spot."
  }
}

variable "coordinator_port" {
  description = "Port of the coordinator."
  type        = number
  default     = 8000
}

variable "server_port" {
  description = "Port of the servers."
  type        = number
  default     = 8001
}

variable "subnet_cidr" {
  description = "Addresses of the instances."
  type        = string
  default     = "10.10.0.0/24"
}

variable "keep_bucket" {
  description = "Whether terraform destroy leaves a bucket that has runs in it."
  type        = bool
  default     = true
}
