/** What the tests of NodeGateway share: the coordinator, asked from outside. */
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { coordinator } from "../../functions/stubs.ts";

/** What the coordinator believes of a node, once it believes `state`: reports travel in the background. */
export async function untilCoordinatorSays(node: string, state: string): Promise<void> {
  let seen: string | undefined;
  for (let i = 0; i < 500 && seen !== state; i++) {
    seen = (await coordinator(env).nodes()).find((entry) => entry.node === node)?.state;
  }
  expect(seen).toBe(state);
}
