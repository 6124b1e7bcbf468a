output "coordinator_address" {
  description = "Where the coordinator listens, within the network."
  value       = local.shared.coordinator
}

output "bucket" {
  description = "The bucket with the runs."
  value       = "gs://${google_storage_bucket.runs.name}"
}

output "instances" {
  description = "All instances."
  value = concat(
    [google_compute_instance.coordinator.name],
    google_compute_instance.worker[*].name,
    google_compute_instance.evaluator[*].name,
  )
}

output "ssh_command" {
  description = "A shell on the coordinator's instance."
  value       = "gcloud compute ssh ${local.coordinator} --zone ${var.zone} --project ${var.project} --tunnel-through-iap"
}

output "submit_command" {
  description = "Starts a run; to be typed there."
  value       = "sudo -u paceline paceline submit run.yaml --coordinator localhost:${var.coordinator_port} --token-file /etc/paceline/token -w ${var.worker_count} -s ${var.worker_count} --replicas ${var.replicas}"
}

output "logs_command" {
  description = "What the coordinator has said, as paceline parse-logs reads it; so for each instance."
  value       = "gcloud compute ssh ${local.coordinator} --zone ${var.zone} --project ${var.project} --tunnel-through-iap --command \"journalctl -o cat -u 'paceline-*'\""
}
