import { expect, test } from "vitest";
import { createHash } from "node:crypto";
import { permutation } from "../../models/training/permutation.ts";

// numpy 2.4.6: np.random.default_rng(seed).permutation(count)
test("draws what NumPy draws", () => {
  expect([...permutation(2023, 10)]).toEqual([7, 1, 6, 0, 2, 9, 4, 8, 5, 3]);
  expect([...permutation(2023, 60_000).subarray(0, 5)]).toEqual([52_788, 16_083, 12_473, 43_116, 9_198]);
  const digest = createHash("sha256").update(permutation(7, 1_000_003)).digest("hex");
  expect(digest.slice(0, 16)).toBe("fb4a2a23eb2b2971");
});
