# What the configuration makes of its variables, with Google Cloud mocked.
#
#   terraform init -backend=false && terraform test
#
# make test runs it offline, against providers that know the schemas alone (test/terraform).

mock_provider "google" {}
mock_provider "random" {}

variables {
  project = "some-project"
}

run "eight_workers_with_a_rank_each_is_the_default" {
  assert {
    condition     = output.coordinator_address == "paceline-dev-coordinator:8000" && output.instances == concat(["paceline-dev-coordinator"], [for rank in range(8) : "paceline-dev-worker-${rank}"], ["paceline-dev-evaluator"])
    error_message = "a coordinator, eight workers and an evaluator"
  }
  assert {
    condition     = alltrue([for rank in range(8) : strcontains(google_compute_instance.worker[rank].metadata["startup-script"], "PACELINE_RANK=${rank}\n")])
    error_message = "an instance's number is the rank of its worker and its server"
  }
  assert {
    condition     = alltrue([for instance in concat([google_compute_instance.coordinator], google_compute_instance.worker, google_compute_instance.evaluator) : instance.boot_disk[0].initialize_params[0].type == "pd-balanced"])
    error_message = "c3 has no disks of type pd-standard"
  }
  assert {
    condition     = google_compute_instance.worker[0].scheduling[0].provisioning_model == "STANDARD" && google_compute_instance.worker[0].scheduling[0].automatic_restart
    error_message = "instances are their own unless spot is set"
  }
  assert {
    condition     = alltrue([for instance in concat([google_compute_instance.coordinator], google_compute_instance.worker, google_compute_instance.evaluator) : length(instance.network_interface[0].access_config) == 0])
    error_message = "no instance has an address of the internet"
  }
}

run "spot_with_two_replicas_and_no_evaluator" {
  variables {
    worker_count = 2
    spot         = true
    replicas     = 2
    evaluator    = false
  }

  assert {
    condition     = output.instances == ["paceline-dev-coordinator", "paceline-dev-worker-0", "paceline-dev-worker-1"]
    error_message = "two workers and no evaluator"
  }
  assert {
    condition     = google_compute_instance.worker[1].scheduling[0].provisioning_model == "SPOT" && google_compute_instance.worker[1].scheduling[0].instance_termination_action == "STOP" && !google_compute_instance.worker[1].scheduling[0].automatic_restart
    error_message = "a spot instance stops, and keeps its disk"
  }
  assert {
    condition     = strcontains(output.submit_command, "-w 2 -s 2 --replicas 2")
    error_message = "a run takes all workers and servers"
  }
}

run "newest_machines_have_disks_that_they_can_have" {
  variables {
    worker_machine_type = "c4-standard-8"
  }

  assert {
    condition     = google_compute_instance.worker[0].boot_disk[0].initialize_params[0].type == "hyperdisk-balanced" && google_compute_instance.coordinator.boot_disk[0].initialize_params[0].type == "pd-balanced"
    error_message = "c4 has hyperdisks alone, and e2 has none"
  }
}

run "spot_without_copies_is_refused" {
  command = plan

  variables {
    spot = true
  }

  expect_failures = [var.replicas]
}

run "thirty_three_workers_are_refused" {
  command = plan

  variables {
    worker_count = 33
  }

  expect_failures = [var.worker_count]
}

run "a_zone_of_another_region_is_refused" {
  command = plan

  variables {
    zone = "europe-west1-b"
  }

  expect_failures = [var.zone]
}
