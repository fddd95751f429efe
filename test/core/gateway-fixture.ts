/** A gateway with the node of node-fixture.ts connected. */
import { Gateway, type GatewayEffect, type GatewayMemory } from "../../control/gateway.ts";
import { hello, only } from "./node-fixture.ts";

export const NEW: GatewayMemory = { node: "n1", epoch: 0, registration: null, revoked: null };

/** Connected and welcome at time 0. */
export function online(over: Parameters<typeof hello>[0] = {}): Gateway {
  const gateway = new Gateway("gw:local:n1", NEW, null, 0);
  gateway.connect("n1", 0);
  gateway.receive(1, hello(over), 0);
  return gateway;
}

export const refusalOf = (effects: readonly GatewayEffect[]) => {
  const reply = only(effects, "refuse")[0]?.reply;
  return reply?.kind === "refused" ? reply.code : undefined;
};
