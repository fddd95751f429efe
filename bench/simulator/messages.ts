/** How many messages each kind of object took: what a deployment pays for and what an object's one thread bears. */
export const RECEIVERS = ["controller", "coordinator", "gateway", "agent", "edge"] as const;
export type Receiver = (typeof RECEIVERS)[number];

export class Messages {
  readonly #counts = new Map<Receiver, Map<string, number>>();
  readonly #kinds = new Map<string, number>();

  /** One message of a kind reached an object. */
  count(receiver: Receiver, name: string, kind: string): void {
    const objects = this.#counts.get(receiver) ?? new Map<string, number>();
    this.#counts.set(receiver, objects);
    objects.set(name, (objects.get(name) ?? 0) + 1);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
  }

  /** Messages of a kind. */
  of(kind: string): number {
    return this.#kinds.get(kind) ?? 0;
  }

  /** Messages the busiest object of a kind took, and all of them together. */
  at(receiver: Receiver): { objects: number; total: number; busiest: number } {
    const counts = [...(this.#counts.get(receiver)?.values() ?? [])];
    return {
      objects: counts.length,
      total: counts.reduce((a, b) => a + b, 0),
      busiest: counts.reduce((a, b) => Math.max(a, b), 0),
    };
  }
}
