/** What may go wrong in a world, and when. Nodes are named by their index in the plant. */
export type Fault = { atMs: number } &
  /** The host is gone without a word: nothing closes the socket. It is back, started anew, after `forMs`. */
  (
    | { kind: "die"; node: number; forMs: number }
    /** Nothing of the agent moves; then all of it goes on. */
    | { kind: "pause"; node: number; forMs: number }
    | { kind: "slow"; node: number; factor: number; forMs: number }
    /** No heartbeat gets through; everything else does. */
    | { kind: "silence"; node: number; forMs: number }
    /** The gateway's object loses its memory; the socket stays. Whoever waited at it is told that it failed. */
    | { kind: "evict"; node: number }
    /** No call of the coordinator is answered; then it comes back from its storage. */
    | { kind: "coordinator"; forMs: number }
    /** Each of these clocks is set off by up to so much, either way. */
    | { kind: "skew"; clocks: string[]; upToMs: number }
  );
