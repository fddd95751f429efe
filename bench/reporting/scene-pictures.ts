/** Pictures of single runs: latencies, a burst, a greedy user, faults. */
import * as Plot from "@observablehq/plot";
import { figureSvg, INKS } from "../../scripts/figure.ts";
import { deficitsPerS, FAULTS, runFaults } from "../scenes/faults.ts";
import { isolationApplication, RISE_AT_MS, rising, runIsolation, UNTIL_MS, USERS } from "../scenes/isolation.ts";
import { Dystri } from "../simulator/dystri.ts";
import { staticBest } from "../simulator/fixed-rung.ts";
import { deepestPerS, nodes, plantOf } from "../simulator/scenario.ts";
import type { PolicyOf } from "../simulator/world.ts";
import { answerOf, burstFromMs, SCENE_CELL, type GridScene } from "./grid-scenes.ts";
import { COLOURS, legend, POLICY_SERIES, type Series } from "./series.ts";

const LAYOUT = {
  width: 900,
  marginTop: 56,
  marginLeft: 50,
  marginRight: 66,
  marginBottom: 44,
  style: { fontSize: "12px" },
} as const;

/** Share of what was offered that has an answer after so many milliseconds. */
export function latencyPicture({ requests, records }: GridScene): string {
  const deadlineMs = SCENE_CELL.deadlineMs;
  const untilMs = 3 * deadlineMs;
  const drawn = POLICY_SERIES.filter(({ name }) => records.has(name));
  const curve = ({ name }: Series): { ms: number; share: number }[] => {
    const own = records.get(name);
    const took = requests
      .flatMap((request) => {
        const outcome = own?.outcome(request);
        return outcome && outcome.rung >= 0 ? [outcome.totalMs] : [];
      })
      .sort((a, b) => a - b);
    let done = 0;
    return Array.from({ length: untilMs + 1 }, (_, ms) => {
      while (done < took.length && (took[done] as number) <= ms) done++;
      return { ms, share: (100 * done) / requests.length };
    });
  };
  return figureSvg({
    description: `Share of the requests answered within a time, of ${drawn.map(({ label }) => label).join(", ")}.`,
    ...LAYOUT,
    height: 360,
    x: { label: "time from intended arrival to the answer at the client, ms" },
    y: { label: "answered, % of offered", grid: true, domain: [0, 100] },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      Plot.ruleX([deadlineMs], { strokeDasharray: "3 3" }),
      Plot.text([deadlineMs], {
        x: deadlineMs,
        frameAnchor: "bottom",
        dx: 4,
        dy: -6,
        textAnchor: "start",
        text: () => "deadline",
      }),
      ...drawn.toReversed().flatMap((series) => {
        const points = curve(series);
        const symbols = points.filter(({ ms }) => ms > 0 && ms % 30 === 0);
        return [
          Plot.line(points, {
            x: "ms",
            y: "share",
            stroke: series.colour,
            strokeWidth: series.name === "dystri" ? 2.5 : 1.5,
            ...(series.dash ? { strokeDasharray: series.dash } : {}),
          }),
          Plot.dot(symbols, { x: "ms", y: "share", symbol: series.symbol, fill: series.colour, r: 3.2 }),
        ];
      }),
      ...legend(drawn, 38),
    ],
  });
}

const BURST_MS = 3000;
const BIN_MS = 100;
const PANELS = ["by place", "by depth"] as const;
/** From the bottom up. A step in lightness as well as in hue between neighbours. */
const LAYERS = [
  { panel: "by place", name: "node", colour: COLOURS.blue },
  { panel: "by place", name: "edge", colour: "#56b4e9" },
  { panel: "by place", name: "device", colour: COLOURS.green },
  { panel: "by place", name: "missed", colour: COLOURS.vermilion },
  { panel: "by depth", name: "last rung", colour: COLOURS.purple },
  { panel: "by depth", name: "between", colour: "#cc79a7" },
  { panel: "by depth", name: "first rung", colour: "#e69f00" },
  { panel: "by depth", name: "missed", colour: COLOURS.vermilion },
] as const;

/** What Dystri answers, where and how deep, through a burst. */
export function burstPicture({ requests, records }: GridScene): string {
  const own = records.get("dystri");
  if (!own) throw new RangeError("the scene has no run of Dystri");
  const fromMs = burstFromMs(requests, BURST_MS);
  const counts = new Map<string, number>();
  for (const request of requests) {
    const bin = Math.floor((request.atMs - fromMs) / BIN_MS);
    if (bin < 0 || bin >= BURST_MS / BIN_MS) continue;
    const { place, depth } = answerOf(request, own);
    for (const key of [`by place ${place} ${bin}`, `by depth ${depth} ${bin}`]) {
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const layers = LAYERS.flatMap(({ panel, name, colour }) =>
    Array.from({ length: BURST_MS / BIN_MS }, (_, bin) => ({
      panel,
      name: `${panel} ${name}`,
      colour,
      seconds: (bin * BIN_MS) / 1000,
      perS: ((counts.get(`${panel} ${name} ${bin}`) ?? 0) * 1000) / BIN_MS,
    })),
  );
  const row = (panel: (typeof PANELS)[number], up: number): Plot.Markish[] =>
    legend(
      LAYERS.filter((layer) => layer.panel === panel).map(({ name, colour }) => ({
        label: name,
        colour,
        symbol: "square",
      })),
      up,
      300,
    );
  return figureSvg({
    description: "Requests a second through a burst, by where and by how deep Dystri answered them.",
    ...LAYOUT,
    height: 460,
    marginTop: 66,
    fy: { label: null, domain: [...PANELS], padding: 0.1 },
    x: { label: "seconds" },
    y: { label: "requests/s by intended arrival", grid: true, nice: true },
    marks: [
      Plot.areaY(layers, {
        fy: "panel",
        x: "seconds",
        y: "perS",
        z: "name",
        fill: "colour",
        order: LAYERS.map(({ panel, name }) => `${panel} ${name}`),
        curve: "step-after",
      }),
      Plot.frame({ strokeOpacity: 0.3 }),
      ...PANELS.flatMap((panel, i) => [
        Plot.text([panel], {
          facet: "super",
          frameAnchor: "top-left",
          dx: 220,
          dy: -50 + 18 * i,
          text: (text: string) => text,
          lineAnchor: "middle",
        }),
        ...row(panel, 50 - 18 * i),
      ]),
    ],
  });
}

const ISOLATION_SEEDS = [1, 2, 3, 4, 5];
const ISOLATION_FROM_MS = 5000;

/** Right answers on time of the other users, second by second. */
export function isolationPicture(): string {
  const plant = plantOf(nodes(1));
  const perS = deepestPerS(isolationApplication(), plant);
  const policies: { series: Omit<Series, "name">; policy: PolicyOf }[] = [
    { series: { label: "Dystri", colour: INKS.blue, symbol: "circle" }, policy: (world) => new Dystri(world) },
    {
      series: { label: "deepest rung, first come first served", colour: INKS.vermilion, symbol: "square" },
      policy: staticBest(true),
    },
  ];
  const points = policies.flatMap(({ series, policy }) => {
    const seconds = new Map<number, { offered: number; right: number }>();
    for (const seed of ISOLATION_SEEDS) {
      const { requests, records } = runIsolation(policy, plant, seed, UNTIL_MS, rising(perS));
      for (const request of requests) {
        if (request.user.index === 0 || request.atMs < ISOLATION_FROM_MS) continue;
        const second = Math.floor(request.atMs / 1000);
        const one = seconds.get(second) ?? { offered: 0, right: 0 };
        seconds.set(second, one);
        one.offered++;
        const outcome = records.outcome(request);
        if (outcome?.status === "onTime" && outcome.right) one.right++;
      }
    }
    return [...seconds]
      .sort(([a], [b]) => a - b)
      .map(([second, { offered, right }]) => ({ ...series, second, share: (100 * right) / offered }));
  });
  const symbols = policies.map(({ series }) => series.symbol);
  return figureSvg({
    description: `Effective accuracy of ${USERS - 1} users while another begins to send 20 times as much.`,
    ...LAYOUT,
    height: 320,
    x: { label: "seconds" },
    y: { label: "right on time, % of offered", grid: true, domain: [0, 100] },
    symbol: { domain: symbols, range: symbols },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      Plot.ruleX([RISE_AT_MS / 1000], { strokeDasharray: "3 3" }),
      Plot.text([RISE_AT_MS / 1000], {
        x: RISE_AT_MS / 1000,
        frameAnchor: "top",
        dx: 5,
        dy: 36,
        textAnchor: "start",
        text: () => "user 1 begins to send 20 times as much",
      }),
      Plot.line(points, { x: "second", y: "share", stroke: "colour", z: "label", strokeWidth: 2 }),
      Plot.dot(points, { x: "second", y: "share", symbol: "symbol", fill: "colour", r: 3 }),
      ...legend(
        policies.map(({ series }) => series),
        38,
      ),
    ],
  });
}

/** The three that cost most, and the longest each lasts. */
const DRAWN_FAULTS = ["die", "slow", "coordinator"];
const RECOVERY_S = 20;

/** What each fault costs against the same world without it, second by second. */
export function recoveryPicture(): string {
  const calm = runFaults([]);
  const faults = FAULTS.filter(({ fault }) => DRAWN_FAULTS.includes(fault.kind));
  const points = faults.flatMap(({ name, fault }) =>
    deficitsPerS(calm, runFaults([fault]))
      .slice(0, RECOVERY_S)
      .map((deficit, second) => ({ name, second, lost: 100 * deficit })),
  );
  const ends = faults.flatMap(({ name, fault }) => ("forMs" in fault ? [{ name, at: fault.forMs / 1000 }] : []));
  return figureSvg({
    description: `Right answers on time lost to faults, second by second: ${faults.map(({ name }) => name).join("; ")}.`,
    ...LAYOUT,
    height: 320,
    fx: { label: null, domain: faults.map(({ name }) => name), padding: 0.06 },
    x: { label: "seconds since the fault" },
    y: { label: "right answers on time lost, %", grid: true, nice: true },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      Plot.ruleY([0]),
      Plot.ruleX(ends, { fx: "name", x: "at", strokeDasharray: "3 3" }),
      Plot.text(ends, {
        fx: "name",
        x: "at",
        frameAnchor: "top",
        dx: 4,
        dy: 8,
        textAnchor: "start",
        text: () => "over",
      }),
      Plot.line(points, { fx: "name", x: "second", y: "lost", stroke: INKS.blue, strokeWidth: 2 }),
      Plot.dot(points, { fx: "name", x: "second", y: "lost", fill: INKS.blue, r: 2.5 }),
    ],
  });
}
