/**
 * When training counts as diverged although every number is finite: the loss has exploded and the
 * model knows no more than a guess.
 */

/**
 * A mean loss above so many times that of a uniform guess has exploded. Weights drawn from [0, 1),
 * as the logistic model's are, begin at up to forty times.
 */
export const lossFactorMax = 100;
/** Accuracy within this share of the way from a guess to all right is no better than a guess. */
const knownShareMax = 0.1;

/** What is judged: of an evaluation, or of the examples that an epoch trained on. */
export interface JudgedModel {
  readonly loss: number;
  readonly accuracyPercent: number;
}

/** The mean loss of a model that holds all classes for equally likely. */
export function guessLoss(classes: number): number {
  return Math.log(Math.max(2, classes));
}

/** A sentence on an exploded loss, with the numbers; null where it has not exploded. */
export function explodedLoss({ loss }: Pick<JudgedModel, "loss">, classes: number): string | null {
  const guess = guessLoss(classes);
  // So written that what is no number has exploded too.
  if (loss <= lossFactorMax * guess) return null;
  const shown = Number.isFinite(loss) ? loss.toPrecision(4) : String(loss);
  return `loss ${shown} is more than ${lossFactorMax} times that of a guess (${guess.toFixed(3)})`;
}

/** A sentence on a model that training has ruined; null for any other. */
export function divergence(model: JudgedModel, classes: number): string | null {
  const exploded = explodedLoss(model, classes);
  const chance = 100 / Math.max(2, classes);
  const guessMax = chance + knownShareMax * (100 - chance);
  if (exploded === null || model.accuracyPercent > guessMax) return null;
  const accuracy = `accuracy ${model.accuracyPercent.toFixed(2)}% is that of one`;
  return `${exploded} and ${accuracy}: training has diverged, lower --lr, or look at the data`;
}
