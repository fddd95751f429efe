import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AttemptMachine, type AttemptAction } from "../../control/attempt.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { NodeReply } from "../../protocol/fleet.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type { ExitResult, Option, Plan } from "../../protocol/plan.ts";
import { ladder, nodeView } from "../support/ladder.ts";

const EDGE: Option[] = [0, 1, 2].map((rung) => ({
  rung,
  minRung: 0,
  at: { tier: "edge" },
  from: "input",
  predictedMs: rung + 1,
  workMs: rung + 1,
}));
const node = (name: string, rung = 3): Option => ({
  rung,
  minRung: 0,
  at: { tier: "node", node: name },
  from: "input",
  predictedMs: 20,
  workMs: 5,
});

/** Options 0–2: edge rungs; 3 and 4: the heavy rung at nodes a and b. Unsure inputs go to a; a falls back to b, b to the edge. */
const plan = (over: Partial<Plan> = {}): Plan => ({
  planId: "p",
  options: [...EDGE, node("a"), node("b")],
  first: 0,
  next: [
    [3, 2, "stop"],
    [3, "stop", "stop"],
    [3, "stop", "stop"],
    ["stop", "stop", "stop"],
  ],
  otherwise: [3, 3, 3, 4, 2],
  marginMs: 10,
  edgeSlowdown: 1,
  weight: 1,
  reason: "",
  ...over,
});

const exit = (rung: number, bin = 0): ExitResult => ({ exit: rung, bin, confidence: 0.3 + 0.3 * bin, top: [[0, 0.5]] });
const ran = (over: Partial<RunResult>): RunResult => ({
  exits: [],
  ended: "stop",
  edge: { price: 0, aheadMs: 0, ageMs: 0 },
  profileMs: 1,
  aheadMs: 0,
  ...over,
});
const escalated = (option: number): RunResult => ran({ exits: [exit(0)], ended: "escalate", option });
const answered = (rung = 3): NodeReply => ({
  kind: "answer",
  exit: exit(rung),
  queueMs: 1,
  computeMs: 5,
  batch: 1,
  view: nodeView("a"),
});
const refused: NodeReply = { kind: "refused", code: "too_late", detail: "full", view: nodeView("a") };
const lost: NodeReply = { kind: "lost", reason: "disconnected", view: nodeView("a") };

/** Deadline 100 from instant 0; the plan came at 2. */
function begun(
  over: Partial<Plan> = {},
  heldElsewhere?: number,
): { machine: AttemptMachine; actions: AttemptAction[] } {
  const application = ladder();
  const input = { datatype: "UINT8", shape: [64], bytes: new ArrayBuffer(64) } as const;
  const request = {
    application,
    input: { ...input, shape: [64] },
    receivedAt: 0,
    deadlineMs: 100,
    ...(heldElsewhere === undefined ? {} : { heldElsewhere }),
  };
  const machine = new AttemptMachine(request, plan(over), 2);
  return { machine, actions: machine.begin(2) };
}
const calls = (actions: AttemptAction[]) =>
  actions.flatMap((a) => (a.do === "edge" ? ["edge"] : a.do === "node" ? [a.node] : a.do === "wake" ? [] : [a.do]));
const withoutWakes = (actions: AttemptAction[]) => actions.filter((action) => action.do !== "wake");
const code = (machine: AttemptMachine, now: number): string => {
  try {
    return machine.answer(now).reason;
  } catch (error) {
    return error instanceof DystriError ? error.code : String(error);
  }
};

describe("one request's way", () => {
  test("an edge answer that satisfies the plan is the answer", () => {
    const { machine, actions } = begun();
    expect(actions).toMatchObject([
      { do: "wake", afterMs: 88 },
      { do: "edge", option: 0, remainingMs: 88 },
    ]);
    expect(calls(machine.edgeEnded(0, ran({ exits: [exit(0, 2)] }), 5))).toEqual(["finished"]);
    expect(machine.answer(6)).toMatchObject({ answer: { exit: 0 }, tier: "edge", deadlineMet: true, degraded: false });
    expect(machine.report(undefined)).toMatchObject({
      outcome: "onTime",
      rung: 0,
      bin: 2,
      legs: [{ rung: 0, tookMs: 3, profileMs: 1, end: "done" }],
    });
  });

  test("escalates with the cut where the option resumes from it", () => {
    const cut = { shape: [4], code: "u8", scale: 1, zero: 0, deflated: true, bytes: new ArrayBuffer(7) } as const;
    const options = [...EDGE, { ...node("a"), from: 0 }];
    const { machine } = begun({ options, otherwise: [-1, -1, -1, -1] });
    const actions = machine.edgeEnded(0, { ...escalated(3), cut: { ...cut, shape: [4] } }, 5);
    expect(actions).toMatchObject([{ do: "node", node: "a", start: { from: 0 }, remainingMs: 85 }]);
    machine.nodeEnded(1, answered(), 20);
    expect(machine.report(undefined).legs).toMatchObject([{ sentBytes: 0 }, { sentBytes: 7, tookMs: 15, batch: 1 }]);
  });

  test("a refusal falls back once, to what fits and is deeper; then the exit held is the answer, degraded", () => {
    const { machine } = begun();
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, refused, 10))).toEqual(["b"]);
    expect(calls(machine.nodeEnded(2, lost, 20))).toEqual(["finished"]);
    expect(machine.answer(21)).toMatchObject({ answer: { exit: 0 }, degraded: true, tier: "edge", node: null });
    expect(machine.report(undefined).legs.map((leg) => leg.end)).toEqual(["done", "refused", "lost"]);
  });

  test("a node may answer any rung deeper than what is held", () => {
    expect(begun({ first: 3 }).actions.at(-1)).toMatchObject({ node: "a", option: { rung: 3, minRung: 0 } });
    const { machine } = begun();
    expect(machine.edgeEnded(0, escalated(3), 5)).toMatchObject([{ node: "a", option: { rung: 3, minRung: 1 } }]);
  });

  test("no retry that is predicted not to fit", () => {
    const { machine } = begun();
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, lost, 75))).toEqual(["finished"]);
    expect(machine.answer(76)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("a fallback to the edge is not led back to the node that failed", () => {
    const { machine } = begun({ first: 4 });
    const [action] = withoutWakes(machine.nodeEnded(0, lost, 10));
    expect(action).toMatchObject({
      do: "edge",
      option: 2,
      plan: {
        next: [
          [3, 2, "stop"],
          [3, "stop", "stop"],
          [3, "stop", "stop"],
          ["stop", "stop", "stop"],
        ],
      },
    });
    const { machine: other } = begun({ first: 3, otherwise: [-1, -1, -1, 2, -1] });
    expect(withoutWakes(other.nodeEnded(0, lost, 10))[0]).toMatchObject({
      do: "edge",
      plan: {
        next: [
          [2, 2, "stop"],
          [2, "stop", "stop"],
          ["stop", "stop", "stop"],
          ["stop", "stop", "stop"],
        ],
      },
    });
  });

  test("at the margin the edge is told to stop and what it has finished is taken", () => {
    const { machine } = begun();
    expect(machine.timeUp(90)).toEqual([
      { do: "cancel", call: 0 },
      { do: "wake", afterMs: 5 },
    ]);
    expect(calls(machine.edgeEnded(0, ran({ exits: [exit(0)], ended: "cancelled" }), 92))).toEqual(["finished"]);
    expect(machine.answer(92)).toMatchObject({ answer: { exit: 0 }, degraded: true, deadlineMet: true });
  });

  test("an escalation that comes within the grace is not followed, whatever the clock says", () => {
    const { machine } = begun();
    machine.timeUp(2);
    expect(calls(machine.edgeEnded(0, escalated(3), 2))).toEqual(["finished"]);
    expect(machine.answer(2)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("silence to the end is deadline_exceeded without an exit, an answer with one", () => {
    const { machine } = begun();
    machine.timeUp(90);
    expect(calls(machine.timeUp(95))).toEqual(["finished"]);
    expect(code(machine, 95)).toBe("deadline_exceeded");
    expect(machine.report(undefined)).toMatchObject({ outcome: "failed", legs: [{ end: "late", tookMs: 93 }] });

    const { machine: other } = begun();
    other.edgeEnded(0, escalated(3), 5);
    expect(calls(other.timeUp(90))).toEqual(["cancel", "finished"]);
    expect(other.answer(90)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("refused everywhere is overloaded", () => {
    const { machine } = begun();
    expect(calls(machine.edgeEnded(0, ran({ ended: "refused" }), 3))).toEqual(["a"]);
    machine.nodeEnded(1, refused, 9);
    expect(code(machine, 10)).toBe("overloaded");
    expect(machine.report(undefined).outcome).toBe("rejected");
  });

  test("the edge's own error is told when nothing else answers", () => {
    const { machine } = begun({ otherwise: [-1, -1, -1, -1, -1] });
    machine.edgeFailed(0, new DystriError("runtime_init_failed", "no"), 3);
    expect(code(machine, 4)).toBe("runtime_init_failed");
  });

  test("a client that has gone ends everything", () => {
    const { machine } = begun();
    expect(calls(machine.cancelled())).toEqual(["cancel", "finished"]);
    expect(code(machine, 4)).toBe("client_gone");
    expect(machine.report(undefined)).toMatchObject({
      outcome: "cancelled",
      legs: [{ end: "cancelled", tookMs: null }],
    });
  });
});

describe("hedging", () => {
  const hedge = [-1, -1, -1, 4, -1];

  test("two nodes run side by side; the first answer wins, the other is cancelled, both are told", () => {
    const { machine } = begun({ hedge });
    expect(calls(machine.edgeEnded(0, escalated(3), 5))).toEqual(["a", "b"]);
    expect(machine.nodeEnded(2, answered(), 15)).toEqual([{ do: "cancel", call: 1 }, { do: "finished" }]);
    expect(machine.nodeEnded(1, answered(), 16)).toEqual([]);
    expect(machine.answer(16)).toMatchObject({ node: "b", degraded: false });
    const legs = machine.report(undefined).legs.map(({ end, hedge: beside }) => [end, beside]);
    expect(legs).toEqual([
      ["done", undefined],
      ["done", true],
      ["cancelled", undefined],
    ]);
  });

  test("one that fails leaves the other running; when both have, there is one fallback, at neither", () => {
    const { machine } = begun({ hedge, otherwise: [-1, -1, -1, 4, 2] });
    machine.edgeEnded(0, escalated(3), 5);
    expect(machine.nodeEnded(1, refused, 10)).toEqual([]);
    expect(machine.nodeEnded(2, lost, 12)).toMatchObject([{ do: "edge", option: 2 }]);
    machine.edgeEnded(3, ran({ exits: [exit(2, 2)] }), 20);
    expect(machine.answer(21)).toMatchObject({ answer: { exit: 2 }, degraded: true });
  });

  test("nothing is hedged that does not fit", () => {
    const { machine } = begun({ hedge, options: [...EDGE, node("a"), { ...node("b"), predictedMs: 86 }] });
    expect(calls(machine.edgeEnded(0, escalated(3), 5))).toEqual(["a"]);
  });
});

describe("nothing held and nodes that refuse", () => {
  /** Each node falls back to the other. */
  const between = { first: 3, otherwise: [-1, -1, -1, 4, 3] };

  test("two nodes that refuse lead to the edge's deepest rung that still fits, and nobody is asked twice", () => {
    const { machine } = begun(between);
    expect(calls(machine.nodeEnded(0, refused, 10))).toEqual(["b"]);
    expect(withoutWakes(machine.nodeEnded(1, refused, 20))).toMatchObject([{ do: "edge", option: 2, remainingMs: 70 }]);
    expect(calls(machine.edgeEnded(2, ran({ ended: "refused" }), 21))).toEqual(["finished"]);
    expect(code(machine, 22)).toBe("overloaded");
    expect(machine.report(undefined).legs.map(({ end }) => end)).toEqual(["refused", "refused", "refused"]);
  });

  test.each([
    [87.5, [1]],
    [88.5, [0]],
    [89.5, []],
  ])("when the second one refuses at %d ms there is time for the options %j of the edge", (now, options) => {
    const { machine } = begun(between);
    machine.nodeEnded(0, lost, 10);
    const asked = machine.nodeEnded(1, refused, now);
    expect(asked.flatMap((action) => (action.do === "edge" ? [action.option] : []))).toEqual(options);
    expect(machine.finished).toBe(options.length === 0);
  });

  test("a refusing edge and a refusing node lead to the other node", () => {
    const { machine } = begun({ otherwise: [3, -1, -1, -1, -1] });
    expect(calls(machine.edgeEnded(0, ran({ ended: "refused" }), 3))).toEqual(["a"]);
    expect(calls(machine.nodeEnded(1, refused, 9))).toEqual(["b"]);
    expect(calls(machine.nodeEnded(2, answered(), 20))).toEqual(["finished"]);
    expect(machine.answer(21)).toMatchObject({ answer: { exit: 3 }, node: "b" });
  });

  test("with an exit held only the plan's own fallback is tried, and only once in all", () => {
    const { machine } = begun({ otherwise: [-1, -1, -1, -1, -1] });
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, refused, 10))).toEqual(["finished"]);

    const { machine: other } = begun({ first: 3, otherwise: [-1, -1, -1, 0, 2] });
    expect(calls(other.nodeEnded(0, refused, 10))).toEqual(["edge"]);
    expect(calls(other.edgeEnded(1, escalated(4), 12))).toEqual(["b"]);
    expect(calls(other.nodeEnded(2, refused, 14))).toEqual(["finished"]);
    expect(other.answer(15)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("who refused is not asked beside another either", () => {
    const { machine } = begun({ ...between, hedge: [-1, -1, -1, -1, 3] });
    expect(calls(machine.nodeEnded(0, refused, 10))).toEqual(["b"]);
  });
});

describe("the last resort", () => {
  test("a silent node is given up in time for the edge's least answer; what it says later changes nothing", () => {
    const { machine, actions } = begun({ first: 3 });
    // Twice the millisecond that the edge's first exit takes is kept, and the margin of 10 once more.
    expect(actions).toMatchObject([
      { do: "wake", afterMs: 88 },
      { do: "wake", afterMs: 76 },
      { do: "node", node: "a", remainingMs: 88 },
    ]);
    const resort = machine.timeUp(78);
    expect(resort).toMatchObject([
      { do: "wake", afterMs: 12 },
      { do: "cancel", call: 0 },
      { do: "edge", call: 1, option: 0, remainingMs: 12 },
    ]);
    expect(machine.nodeEnded(0, answered(), 78.5)).toEqual([]);
    expect(calls(machine.edgeEnded(1, ran({ exits: [exit(0)] }), 79))).toEqual(["finished"]);
    expect(machine.nodeEnded(0, answered(), 79.5)).toEqual([]);
    expect(machine.answer(80)).toMatchObject({
      answer: { exit: 0 },
      tier: "edge",
      deadlineMet: true,
      degraded: true,
      reason: "a did not answer in time",
    });
    expect(machine.report(undefined)).toMatchObject({
      outcome: "onTime",
      rung: 0,
      legs: [
        { at: { node: "a" }, end: "late", tookMs: null },
        { at: { tier: "edge" }, end: "done" },
      ],
    });
  });

  test("an answer before that is the answer", () => {
    const { machine } = begun({ first: 3 });
    expect(calls(machine.nodeEnded(0, answered(), 77))).toEqual(["finished"]);
    expect(machine.answer(77)).toMatchObject({ node: "a", degraded: false });
  });

  test("after a refusal the next node is given up in time as well, and at the edge the wake is the deadline's again", () => {
    const { machine: other } = begun({ first: 3 });
    expect(other.nodeEnded(0, refused, 10)).toMatchObject([
      { do: "wake", afterMs: 80 },
      { do: "wake", afterMs: 68 },
      { node: "b" },
    ]);
    expect(other.timeUp(78)).toMatchObject([
      { do: "wake", afterMs: 12 },
      { do: "cancel", call: 1 },
      { do: "edge", option: 0 },
    ]);

    const { machine } = begun({ first: 4 });
    expect(machine.nodeEnded(0, refused, 10)).toMatchObject([
      { do: "wake", afterMs: 80 },
      { do: "edge", option: 2 },
    ]);
    expect(machine.timeUp(90)).toEqual([
      { do: "cancel", call: 1 },
      { do: "wake", afterMs: 5 },
    ]);
  });

  test("what the asker holds is never asked for again: no last resort, no shallower fallback, no shallower answer", () => {
    const { machine, actions } = begun({ first: 3, otherwise: [3, 3, 3, 2, 2] }, 2);
    expect(actions).toMatchObject([
      { do: "wake", afterMs: 88 },
      { node: "a", option: { rung: 3, minRung: 3 } },
    ]);
    expect(machine.nodeEnded(0, refused, 10)).toEqual([{ do: "finished" }]);
    // One exit less, and the edge has one to add.
    const { machine: shallower } = begun({ first: 3, otherwise: [3, 3, 3, 2, 2] }, 1);
    expect(withoutWakes(shallower.nodeEnded(0, refused, 10))).toMatchObject([{ do: "edge", option: 2 }]);
  });

  test("where the time is too short for both the node is waited for to the end", () => {
    // 88 ms are left: 12 for the edge, 76 for a node that is given twice its time.
    const taking = (predictedMs: number) => begun({ first: 3, options: [...EDGE, { ...node("a"), predictedMs }] });
    const wakes = ({ actions }: ReturnType<typeof begun>) => actions.filter((action) => action.do === "wake");
    expect(wakes(taking(37.9))).toHaveLength(2);
    const tight = taking(38);
    expect(wakes(tight)).toEqual([{ do: "wake", afterMs: 88 }]);
    expect(calls(tight.machine.timeUp(90))).toEqual(["cancel", "finished"]);
    expect(code(tight.machine, 90)).toBe("deadline_exceeded");
  });

  test("with an exit held, or without the edge in the plan, there is none", () => {
    const { machine } = begun();
    expect(machine.edgeEnded(0, escalated(3), 5)).toMatchObject([{ do: "node" }]);
    const { actions } = begun({ first: 0, options: [node("a")], next: [], otherwise: [-1] });
    expect(actions).toMatchObject([{ do: "wake", afterMs: 88 }, { do: "node" }]);
  });

  test("an edge that is silent as well is told to stop at the margin", () => {
    const { machine } = begun({ first: 3 });
    machine.timeUp(88);
    expect(machine.timeUp(90)).toEqual([
      { do: "cancel", call: 1 },
      { do: "wake", afterMs: 5 },
    ]);
    expect(calls(machine.timeUp(95))).toEqual(["finished"]);
    expect(code(machine, 95)).toBe("deadline_exceeded");
    expect(machine.report(undefined).legs.map(({ end }) => end)).toEqual(["late", "late"]);
  });

  test("neither who was silent nor who refused before is asked again", () => {
    // What is left for the last resort would do for a node as well.
    const slowEdge = EDGE.map((option, i) => ({ ...option, predictedMs: 10 + i }));
    const quick = ["a", "b"].map((name) => ({ ...node(name), predictedMs: 15 }));
    const { machine } = begun({ first: 3, options: [...slowEdge, ...quick], hedge: [-1, -1, -1, 4, -1] });
    expect(machine.nodeEnded(1, refused, 10)).toEqual([]);
    const resort = machine.timeUp(70);
    expect(calls(resort)).toEqual(["cancel", "edge"]);
    const steps = resort.flatMap((action) => (action.do === "edge" ? action.plan.next.flat() : []));
    expect(steps).not.toContain(3);
    expect(steps).not.toContain(4);
    expect(calls(machine.edgeEnded(2, ran({ ended: "refused" }), 71))).toEqual(["finished"]);
    expect(machine.report(undefined).legs.map(({ end }) => end)).toEqual(["refused", "late", "refused"]);
  });
});

/** What may happen to a running call, or to the request. */
const happening = fc.record({
  what: fc.constantFrom(
    "stop",
    "escalate",
    "stray",
    "refuse",
    "late",
    "lose",
    "throw",
    "answer",
    "time",
    "gone",
    "again",
    "ghost" as const,
  ),
  /** Which of the running calls. */
  which: fc.nat(3),
  rung: fc.nat(3),
  bin: fc.nat(2),
  option: fc.integer({ min: -1, max: 5 }),
  afterMs: fc.integer({ min: 0, max: 30 }),
});
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;
type Asked = Extract<AttemptAction, { do: "edge" | "node" }>;

/** Drives an attempt by what happens, and keeps the books that the attempt must agree with. */
class Driver {
  readonly machine: AttemptMachine;
  finishes = 0;
  opened = 0;
  deepest = -1;
  goneFirst = false;
  resorted = false;
  /** Instant of the wake that has been asked for. */
  #wakeAt: number | null = null;
  #now = 2;
  readonly #running = new Map<number, Asked>();
  /** Calls of nodes that were cancelled: they may answer all the same. */
  readonly #ghosts: number[] = [];
  /** Machines that refused, were lost or were given up. */
  readonly failed = new Set<string>();
  #triesWithExit = 0;
  #last: (() => AttemptAction[]) | null = null;

  constructor(over: Partial<Plan>) {
    const { machine, actions } = begun(over);
    this.machine = machine;
    this.#follow(actions);
  }

  get now(): number {
    return this.#now;
  }

  /** `event.afterMs` pass, and then it happens. */
  run(event: Happening): void {
    this.#now += event.afterMs;
    const { machine } = this;
    if (event.what === "time") this.#timeUp();
    else if (event.what === "gone") {
      this.goneFirst ||= !machine.finished;
      this.#follow(machine.cancelled());
    } else if (event.what === "again") expect(this.#last?.() ?? []).toEqual([]);
    else if (event.what === "ghost") {
      for (const call of this.#ghosts) expect(machine.nodeEnded(call, answered(event.rung), this.#now)).toEqual([]);
    } else {
      const open = [...this.#running.values()];
      const target = open[event.which % Math.max(1, open.length)];
      if (target?.do === "edge") this.#endEdge(target, event);
      if (target?.do === "node") this.#endNode(target, event);
    }
  }

  /** Nothing more comes: time ends it, by the margin and half of it, at the third wake at the latest. */
  fallSilent(): void {
    const from = Math.max(this.#now, 90);
    for (let wakes = 0; !this.machine.finished; wakes++) {
      expect(wakes).toBeLessThan(3);
      this.#now = Math.max(this.#now, this.#wakeAt ?? Number.POSITIVE_INFINITY);
      this.#timeUp();
    }
    expect(this.#now).toBeLessThanOrEqual(from + 5);
    expect(this.machine.timeUp(this.#now)).toEqual([]);
  }

  #timeUp(): void {
    const nothingHeld = this.deepest < 0;
    const { opened } = this;
    this.#wakeAt = null;
    this.#follow(this.machine.timeUp(this.#now));
    if (this.opened > opened) {
      // Only to have an answer at all is anything begun because time has passed.
      expect(nothingHeld).toBe(true);
      this.resorted = true;
    }
  }

  #endEdge(target: Extract<Asked, { do: "edge" }>, { what, rung, bin, option }: Happening): void {
    this.#running.delete(target.call);
    const { machine } = this;
    if (what === "throw") {
      return this.#failure("edge", () => machine.edgeFailed(target.call, new DystriError("internal", "x"), this.#now));
    }
    if (what === "refuse") {
      return this.#failure("edge", () => machine.edgeEnded(target.call, ran({ ended: "refused" }), this.#now));
    }
    const found = exit(rung % 3, bin);
    // As the edge does: its table says where to go on, and what is its own it runs itself.
    const planned = target.plan.next[found.exit]?.[bin];
    const next = what === "stray" ? option : typeof planned === "number" ? planned : -1;
    const goal = target.plan.options[next];
    const escalates = what === "stray" || (what === "escalate" && goal?.at.tier === "node");
    const stops = what === "stop" || what === "escalate";
    const ended = escalates ? "escalate" : stops ? "stop" : what === "late" ? "late" : "cancelled";
    // Only an edge that strays from its table may lead to who has failed.
    if (what === "stray" && goal) this.failed.delete(goal.at.tier === "node" ? goal.at.node : "edge");
    if (!machine.finished) this.deepest = Math.max(this.deepest, found.exit);
    this.#end(() => machine.edgeEnded(target.call, ran({ exits: [found], ended, option: next }), this.#now));
  }

  #endNode({ call, node: name }: Extract<Asked, { do: "node" }>, { what, rung }: Happening): void {
    this.#running.delete(call);
    const { machine } = this;
    if (what === "answer") {
      if (!machine.finished) this.deepest = Math.max(this.deepest, rung);
      this.#end(() => machine.nodeEnded(call, answered(rung), this.#now));
    } else if (what === "throw") this.#failure(name, () => machine.nodeLost(call, this.#now));
    else this.#failure(name, () => machine.nodeEnded(call, what === "refuse" ? refused : lost, this.#now));
  }

  #failure(name: string, act: () => AttemptAction[]): void {
    this.failed.add(name);
    const { opened } = this;
    const withExit = this.deepest >= 0;
    this.#end(act);
    if (withExit && this.opened > opened) this.#triesWithExit++;
    expect(this.#triesWithExit).toBeLessThanOrEqual(1);
  }

  #end(act: () => AttemptAction[]): void {
    this.#last = act;
    this.#follow(act());
  }

  #follow(actions: readonly AttemptAction[]): void {
    if (this.finishes > 0) expect(actions).toEqual([]);
    for (const action of actions) {
      switch (action.do) {
        case "edge":
        case "node": {
          this.opened++;
          expect(action.remainingMs).toBeGreaterThan(0);
          expect([...this.failed]).not.toContain(action.do === "node" ? action.node : "edge");
          this.#running.set(action.call, action);
          break;
        }
        case "cancel": {
          const call = this.#running.get(action.call);
          if (call?.do !== "node") break;
          this.#running.delete(action.call);
          this.#ghosts.push(action.call);
          if (!this.machine.finished) this.failed.add(call.node);
          break;
        }
        case "wake":
          expect(action.afterMs).toBeLessThanOrEqual(Math.max(5, 90 - this.#now));
          this.#wakeAt = this.#now + action.afterMs;
          break;
        case "finished":
          this.finishes++;
          break;
      }
    }
    expect(this.machine.finished || this.#wakeAt !== null).toBe(true);
  }
}

test("under any order of events a request finishes exactly once, and never in an error once an exit is held", () => {
  const anyOption = fc.integer({ min: -1, max: 4 });
  const anyOptions = fc.array(anyOption, { minLength: 5, maxLength: 5 });
  let resorts = 0;
  let exhausted = 0;
  fc.assert(
    fc.property(
      fc.array(happening, { maxLength: 40 }),
      anyOption,
      anyOptions,
      fc.option(anyOptions, { nil: undefined }),
      (events, first, otherwise, hedge) => {
        const driver = new Driver({ first, otherwise, ...(hedge ? { hedge } : {}) });
        for (const event of events) driver.run(event);
        driver.fallSilent();
        const { machine, deepest, now } = driver;
        expect(driver.finishes).toBe(1);
        if (driver.goneFirst) expect(code(machine, now)).toBe("client_gone");
        else if (deepest >= 0) expect(machine.answer(now).answer.exit).toBe(deepest);
        else expect(() => machine.answer(now)).toThrow(DystriError);
        expect(machine.report(undefined).legs).toHaveLength(driver.opened);
        if (driver.resorted) resorts++;
        if (driver.failed.size === 3) exhausted++;
      },
    ),
    { numRuns: 2000 },
  );
  expect(resorts).toBeGreaterThan(40);
  expect(exhausted).toBeGreaterThan(40);
});
