/** The form of an experiment file. Loaded when there is one to read: zod takes a while to load. */
import { z } from "zod";

/** A server's metrics. */
export const serverSchema = z.looseObject({
  type: z.literal("SERVER_FINAL_METRICS").default("SERVER_FINAL_METRICS"),
  mode: z.string(),
  total_workers: z.number(),
  total_training_time_seconds: z.number(),
  global_steps_completed: z.number(),
  total_parameter_updates: z.number(),
  gradients_processed: z.number(),
  average_update_time_seconds: z.number(),
  updates_per_second: z.number(),
  learning_rate: z.number(),
  async_updates: z.number().optional(),
  average_gradient_staleness: z.number().optional(),
  max_staleness_observed: z.number().optional(),
});

/** A worker's. */
export const workerSchema = z.looseObject({
  type: z.literal("WORKER_FINAL_METRICS").default("WORKER_FINAL_METRICS"),
  worker_id: z.number(),
  total_workers: z.number(),
  total_training_time_seconds: z.number(),
  average_epoch_time_seconds: z.number().nullable().default(null),
  epoch_times_seconds: z.array(z.number().nullable()).default([]),
  final_test_accuracy_percent: z.number().nullable().default(null),
  all_accuracies_percent: z.array(z.number().nullable()).default([]),
  local_steps_completed: z.number(),
  batch_size: z.number(),
  learning_rate: z.number(),
  num_epochs: z.number(),
});

/** The whole file, of any origin. */
export const experimentSchema = z.looseObject({
  experiment_name: z.string(),
  timestamp: z.string(),
  server_metrics: serverSchema.nullish(),
  worker_metrics_aggregated: z
    .looseObject({ per_worker_metrics: z.array(workerSchema).optional() })
    .nullish(),
  raw_worker_metrics: z.array(workerSchema).nullish(),
  paceline: z.unknown().optional(),
});
