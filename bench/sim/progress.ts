/** How far a long run is, on standard error: a bar on a terminal, a line now and then elsewhere. */
const WIDTH = 30;
const LINE_EVERY_MS = 10_000;

export class Progress {
  readonly #total: number;
  readonly #startedAt = performance.now();
  #done = 0;
  #printedAt = performance.now();

  constructor(total: number) {
    this.#total = total;
  }

  step(what: string): void {
    this.#done++;
    const now = performance.now();
    const share = this.#done / this.#total;
    const leftS = ((now - this.#startedAt) / 1000) * (1 / share - 1);
    const text = `${this.#done}/${this.#total} ${time(leftS)} left  ${what}`;
    if (process.stderr.isTTY) {
      const filled = Math.round(WIDTH * share);
      process.stderr.write(`\r\x1b[K[${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${text}`);
    } else if (now - this.#printedAt >= LINE_EVERY_MS) {
      this.#printedAt = now;
      process.stderr.write(`${text}\n`);
    }
  }

  end(): void {
    if (process.stderr.isTTY && this.#total > 0) process.stderr.write("\r\x1b[K");
  }
}

function time(seconds: number): string {
  return seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;
}
