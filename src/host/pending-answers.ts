/**
 * Questions to a machine that are answered by a later effect, each known by the object it came as.
 *
 * Invariant: a question is answered at most once.
 */
export class PendingAnswers<Question extends object, Answer> {
  readonly #waiting = new Map<Question, (answer: Answer) => void>();

  /** Has the machine told of a question; resolves to its answer. */
  ask(question: Question, tell: () => void): Promise<Answer> {
    return new Promise((resolve) => {
      this.#waiting.set(question, resolve);
      tell();
    });
  }

  /** The machine has answered. */
  answer(question: Question, answer: Answer): void {
    this.#waiting.get(question)?.(answer);
    this.#waiting.delete(question);
  }
}
