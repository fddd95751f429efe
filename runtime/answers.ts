/** From logits to what an exit says: calibrated probabilities, confidence, evidence bin, best labels. */
import type { Rung } from "../protocol/application.ts";
import type { ExitResult } from "../protocol/plan.ts";
import { binOf } from "../control/ladder.ts";

/** softmax(logits / temperature) of one sample; safe against overflow. */
export function softmax(logits: ArrayLike<number>, temperature: number): Float64Array {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i] as number);
  const p = new Float64Array(logits.length);
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += p[i] = Math.exp(((logits[i] as number) - max) / temperature);
  for (let i = 0; i < p.length; i++) p[i] = (p[i] as number) / sum;
  return p;
}

/** The result of rung number `exit` from its logits, with the `topK` most probable labels (all if there are fewer). */
export function exitResult(rung: Rung, exit: number, logits: ArrayLike<number>, topK: number): ExitResult {
  const p = softmax(logits, rung.temperature);
  const order = Array.from(p.keys()).sort((a, b) => (p[b] as number) - (p[a] as number));
  const confidence = p[order[0] ?? 0] ?? 0;
  const top = order.slice(0, topK).map((label): [number, number] => [label, p[label] as number]);
  return { exit, bin: binOf(rung.evidence, confidence), confidence, top };
}
