/**
 * NumPy's `default_rng(seed).permutation(count)` in TypeScript, so that a split which Python drew by seed can be read
 * without Python. SeedSequence and PCG64 as in numpy/random/bit_generator.pyx and src/pcg64; bounded integers by
 * masked rejection (random_interval in numpy/random/src/distributions); shuffled from the end.
 */

const POOL_WORDS = 4;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;

const xorShift = (value: number): number => (value ^ (value >>> 16)) >>> 0;

/** The hash of SeedSequence: its constant moves on with every word hashed. */
function hasher(constant: number, factor: number): (word: number) => number {
  let at = constant;
  return (word) => {
    const mixed = word ^ at;
    at = Math.imul(at, factor) >>> 0;
    return xorShift(Math.imul(mixed, at) >>> 0);
  };
}

const mix = (x: number, y: number): number => xorShift((Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0);

/** SeedSequence(seed).generate_state(4, uint64) for a seed below 2³². */
function seedWords(seed: number): bigint[] {
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: POOL_WORDS }, (_, i) => hash(i === 0 ? seed : 0));
  for (let from = 0; from < POOL_WORDS; from++) {
    for (let to = 0; to < POOL_WORDS; to++) {
      if (from !== to) pool[to] = mix(pool[to] as number, hash(pool[from] as number));
    }
  }
  const out = hasher(0x8b51f9dd, 0x58f38ded);
  const halves = Array.from({ length: 2 * POOL_WORDS }, (_, i) => BigInt(out(pool[i % POOL_WORDS] as number)));
  return Array.from(
    { length: POOL_WORDS },
    (_, i) => (halves[2 * i] as bigint) | ((halves[2 * i + 1] as bigint) << 32n),
  );
}

/** PCG64 (XSL-RR): 32 random bits a call, the low half of each draw first. */
function pcg64(seed: number): () => number {
  const [high = 0n, low = 0n, streamHigh = 0n, streamLow = 0n] = seedWords(seed);
  const increment = ((((streamHigh << 64n) | streamLow) << 1n) | 1n) & MASK_128;
  const step = (state: bigint): bigint => (state * MULTIPLIER + increment) & MASK_128;
  let state = step((step(0n) + ((high << 64n) | low)) & MASK_128);
  let kept: number | undefined;
  return () => {
    if (kept !== undefined) {
      const half = kept;
      kept = undefined;
      return half;
    }
    state = step(state);
    const word = (state >> 64n) ^ (state & MASK_64);
    const turn = state >> 122n;
    const draw = ((word >> turn) | (word << (64n - turn))) & MASK_64;
    kept = Number(draw >> 32n);
    return Number(draw & 0xffffffffn);
  };
}

/** The numbers below `count` in the order that `numpy.random.default_rng(seed).permutation(count)` gives; both below 2³². */
export function permutation(seed: number, count: number): Uint32Array {
  const next = pcg64(seed);
  /** Uniform in 0…`highest`, at least 1. */
  const upTo = (highest: number): number => {
    const mask = 2 ** (32 - Math.clz32(highest)) - 1;
    for (;;) {
      const draw = (next() & mask) >>> 0;
      if (draw <= highest) return draw;
    }
  };
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = upTo(i);
    const kept = order[i] as number;
    order[i] = order[other] as number;
    order[other] = kept;
  }
  return order;
}
