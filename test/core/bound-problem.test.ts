import { beforeAll, describe, expect, test } from "vitest";
import { Solver } from "../../bench/bounds/solver.ts";
import { feasible } from "../../bench/bounds/problem.ts";
import { policyNamed } from "../../bench/policies/registry.ts";
import { batchSizesOf, batchStage, problemOf } from "../../bench/sim/bound-problem.ts";
import { loadService, settingOf, type Service, type Setting } from "../../bench/sim/setting.ts";
import { ON_DEVICE } from "../../bench/simulator/records.ts";
import { World } from "../../bench/simulator/world.ts";

// All drop what is late: late jobs that run on would be in batches too, and make them longer for nothing.
const POLICIES = ["dystri", "gie+drop", "slackfit+drop", "spinn+drop", "static-best+drop"];
let service: Service;
let setting: Setting;
let solver: Solver;

beforeAll(async () => {
  service = await loadService("validation");
  solver = await Solver.load();
  setting = settingOf(service, { workload: "mmpp2", users: 16, load: 5, deadlineMs: 60 }, 2, 1500, 500);
});

/** A world in which the policy is run; `beforehand` may watch. */
function run(name: string, beforehand: (world: World) => void = () => undefined): World {
  const world = new World(setting.world);
  beforehand(world);
  const { make, defaults } = policyNamed(name);
  world.run(make(defaults, { training: service.inputs, mix: new Map(), solver, solverTimes: { byColumns: [] } }));
  return world;
}

describe("nothing that happens is missing from the bound's problem", () => {
  test.each(POLICIES)("%s: each answer on time is one of the ways listed, by machine and rung", (name) => {
    const world = run(name);
    const listed = problemOf(new World(setting.world), setting.measured, () => 1);
    const possible = feasible(listed.problem).requests.map(({ options }, i) =>
      options.map(({ way = -1 }) => listed.ways[i]?.[way]),
    );
    let seen = 0;
    listed.requests.forEach((request, i) => {
      const outcome = world.records.outcome(request);
      if (outcome?.status !== "onTime" || outcome.rung < 0) return;
      const { node, rung } = outcome;
      const tier = node === ON_DEVICE ? "device" : node < 0 ? "edge" : "node";
      const found = possible[i]?.some((way) => {
        return way?.rung === rung && way.ends === tier && (tier !== "node" || way.node === node);
      });
      expect([request.id, tier, rung, found]).toEqual([request.id, tier, rung, true]);
      seen++;
    });
    expect(seen).toBeGreaterThan(300);
  });

  test.each(POLICIES)("%s: no batch is larger than any of its jobs could be in", (name) => {
    const sizes = batchSizesOf(new World(setting.world));
    let largest = 0;
    run(name, (world) => {
      for (const { spec, site } of world.nodes) {
        const compute = site.compute.bind(site);
        site.compute = (ms, requests, rung, done) => {
          for (const id of requests) {
            const application = world.workload.requests[id]?.user.application.name ?? "";
            const most = sizes.most(batchStage(spec.name, application, rung), id);
            expect([id, requests.length <= most || most]).toEqual([id, true]);
          }
          largest = Math.max(largest, requests.length);
          compute(ms, requests, rung, done);
        };
      }
    });
    expect(largest).toBeGreaterThan(1);
  });
});
