locals {
  shared = {
    secret           = google_secret_manager_secret.token.secret_id
    project          = var.project
    coordinator      = "${local.coordinator}:${var.coordinator_port}"
    coordinator_port = var.coordinator_port
    server_port      = var.server_port
    bucket           = google_storage_bucket.runs.name
  }

  # No series has all: c3 has no pd-standard, which is what a disk is where nothing is said; the
  # newest have hyperdisks alone, and e2 has none.
  disk_types = {
    for type in distinct([var.coordinator_machine_type, var.worker_machine_type, var.evaluator_machine_type]) :
    type => can(regex("^(c4|n4|m4|x4|h4)", type)) ? "hyperdisk-balanced" : "pd-balanced"
  }

  common = templatefile("${path.module}/startup/common.sh", local.shared)
}

resource "google_compute_instance" "coordinator" {
  name         = local.coordinator
  machine_type = var.coordinator_machine_type
  zone         = var.zone
  tags         = [local.name]

  # A coordinator that is started again goes on with its queue and its runs.
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = var.image
      type  = local.disk_types[var.coordinator_machine_type]
      size  = 50
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.cluster.id
  }

  service_account {
    email  = google_service_account.keeper.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    startup-script = "${local.common}${templatefile("${path.module}/startup/coordinator.sh", local.shared)}"
  }

  depends_on = [
    google_secret_manager_secret_version.token,
    google_secret_manager_secret_iam_member.token,
    google_compute_router_nat.cluster,
  ]
}

resource "google_compute_instance" "worker" {
  count = var.worker_count

  name         = "${local.name}-worker-${count.index}"
  machine_type = var.worker_machine_type
  zone         = var.zone
  tags         = [local.name]

  boot_disk {
    initialize_params {
      image = var.image
      type  = local.disk_types[var.worker_machine_type]
      size  = 30
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.cluster.id
  }

  scheduling {
    preemptible                 = var.spot
    automatic_restart           = !var.spot
    on_host_maintenance         = var.spot ? "TERMINATE" : "MIGRATE"
    provisioning_model          = var.spot ? "SPOT" : "STANDARD"
    instance_termination_action = var.spot ? "STOP" : null
  }

  service_account {
    email  = google_service_account.member.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    # Its number is its rank, which an instance that comes again has again.
    startup-script = "${local.common}${templatefile("${path.module}/startup/worker.sh", merge(local.shared, { rank = count.index }))}"
  }

  depends_on = [
    google_secret_manager_secret_version.token,
    google_secret_manager_secret_iam_member.token,
    google_compute_router_nat.cluster,
  ]
}

resource "google_compute_instance" "evaluator" {
  count = var.evaluator ? 1 : 0

  name         = "${local.name}-evaluator"
  machine_type = var.evaluator_machine_type
  zone         = var.zone
  tags         = [local.name]

  boot_disk {
    initialize_params {
      image = var.image
      type  = local.disk_types[var.evaluator_machine_type]
      size  = 50
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.cluster.id
  }

  service_account {
    email  = google_service_account.keeper.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    startup-script = "${local.common}${templatefile("${path.module}/startup/evaluator.sh", local.shared)}"
  }

  depends_on = [
    google_secret_manager_secret_version.token,
    google_secret_manager_secret_iam_member.token,
    google_compute_router_nat.cluster,
  ]
}
