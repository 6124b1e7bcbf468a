locals {
  name        = "${var.project_name}-${var.environment}"
  coordinator = "${local.name}-coordinator"
}

resource "google_compute_network" "cluster" {
  name                    = local.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "cluster" {
  name                     = local.name
  region                   = var.region
  network                  = google_compute_network.cluster.id
  ip_cidr_range            = var.subnet_cidr
  private_ip_google_access = true
}

# Instances have no address of the internet; packages and data sets come through the NAT.
resource "google_compute_router" "cluster" {
  name    = local.name
  region  = var.region
  network = google_compute_network.cluster.id
}

resource "google_compute_router_nat" "cluster" {
  name                               = local.name
  region                             = var.region
  router                             = google_compute_router.cluster.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

# Members reach the coordinator and the servers, and servers each other.
resource "google_compute_firewall" "members" {
  name        = "${local.name}-members"
  network     = google_compute_network.cluster.name
  source_tags = [local.name]
  target_tags = [local.name]

  allow {
    protocol = "tcp"
    ports    = [tostring(var.coordinator_port), tostring(var.server_port)]
  }
}

# gcloud compute ssh --tunnel-through-iap comes from these addresses, and nothing else comes in.
resource "google_compute_firewall" "ssh" {
  name          = "${local.name}-ssh"
  network       = google_compute_network.cluster.name
  source_ranges = ["35.235.240.0/20"]
  target_tags   = [local.name]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}
