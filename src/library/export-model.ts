/** A checkpoint's model as a file that other programs read. */
import { ownDemands } from "../runtime/compute/model-demands.js";
import {
  type ExportedModel,
  type ExportRequest,
  exportCheckpoint,
} from "../store/checkpoint/checkpoint-export.js";

/**
 * Writes a checkpoint's model as safetensors.
 * @throws PacelineError as `exportCheckpoint` does.
 */
export function exportModel(request: ExportRequest): Promise<ExportedModel> {
  return exportCheckpoint(request, ownDemands);
}
