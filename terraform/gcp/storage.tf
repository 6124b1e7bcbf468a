resource "random_id" "bucket" {
  byte_length = 4
}

resource "google_storage_bucket" "runs" {
  name                        = "${local.name}-runs-${random_id.bucket.hex}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.keep_bucket
}

# The token that members show. Nobody outside the network can connect in the first place.
resource "random_password" "token" {
  length  = 64
  special = false
}

resource "google_secret_manager_secret" "token" {
  secret_id = "${local.name}-token"

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "token" {
  secret      = google_secret_manager_secret.token.id
  secret_data = random_password.token.result
}

resource "google_service_account" "member" {
  account_id   = "${local.name}-member"
  display_name = "Servers and workers of ${local.name}"
}

resource "google_service_account" "keeper" {
  account_id   = "${local.name}-keeper"
  display_name = "Coordinator and evaluator of ${local.name}"
}

resource "google_secret_manager_secret_iam_member" "token" {
  for_each = {
    member = google_service_account.member.email
    keeper = google_service_account.keeper.email
  }

  secret_id = google_secret_manager_secret.token.id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${each.value}"
}

# Members have no business in the bucket: they give their state to the coordinator.
resource "google_storage_bucket_iam_member" "keeper" {
  bucket = google_storage_bucket.runs.name
  role   = "roles/storage.objectAdmin"
  member = "serviceAccount:${google_service_account.keeper.email}"
}

resource "google_project_iam_member" "logs" {
  for_each = {
    member = google_service_account.member.email
    keeper = google_service_account.keeper.email
  }

  project = var.project
  role    = "roles/logging.logWriter"
  member  = "serviceAccount:${each.value}"
}
