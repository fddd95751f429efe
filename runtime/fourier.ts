/** The power spectrum of real values, by a complex transform of half the length. */

/** cos and sin of 2πk/n for k below n/2, per n. */
const tables = new Map<number, { cos: Float64Array; sin: Float64Array }>();

function tableOf(n: number): { cos: Float64Array; sin: Float64Array } {
  let table = tables.get(n);
  if (!table) {
    const angles = Array.from({ length: n / 2 }, (_, k) => (2 * Math.PI * k) / n);
    table = { cos: Float64Array.from(angles, Math.cos), sin: Float64Array.from(angles, Math.sin) };
    tables.set(n, table);
  }
  return table;
}

/** |X(k)|² for k from 0 to n/2, of n real values; n is a power of two, 4 or more. */
export function powerSpectrum(values: Float64Array): Float64Array {
  const n = values.length;
  const half = n / 2;
  // Even values as real parts, odd ones as imaginary parts.
  const re = new Float64Array(half);
  const im = new Float64Array(half);
  for (let i = 0, reversed = 0; i < half; i++) {
    re[reversed] = values[2 * i] as number;
    im[reversed] = values[2 * i + 1] as number;
    let bit = half >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed |= bit;
  }
  const { cos, sin } = tableOf(n);
  butterflies(re, im, cos, sin);
  const power = new Float64Array(half + 1);
  for (let k = 0; k <= half; k++) {
    const a = k % half;
    const b = (half - k) % half;
    const evenRe = ((re[a] as number) + (re[b] as number)) / 2;
    const evenIm = ((im[a] as number) - (im[b] as number)) / 2;
    const oddRe = ((im[a] as number) + (im[b] as number)) / 2;
    const oddIm = ((re[b] as number) - (re[a] as number)) / 2;
    const c = k === half ? -1 : (cos[k] as number);
    const s = k === half ? 0 : (sin[k] as number);
    power[k] = (evenRe + c * oddRe + s * oddIm) ** 2 + (evenIm + c * oddIm - s * oddRe) ** 2;
  }
  return power;
}

/** The transform itself, in place; the values come in bit-reversed order, the tables are those of twice the length. */
function butterflies(re: Float64Array, im: Float64Array, cos: Float64Array, sin: Float64Array): void {
  const length = re.length;
  for (let size = 2; size <= length; size *= 2) {
    const reach = size / 2;
    const stride = (2 * length) / size;
    for (let first = 0; first < length; first += size) {
      for (let k = 0; k < reach; k++) {
        const a = first + k;
        const b = a + reach;
        const c = cos[k * stride] as number;
        const s = sin[k * stride] as number;
        const x = (re[b] as number) * c + (im[b] as number) * s;
        const y = (im[b] as number) * c - (re[b] as number) * s;
        re[b] = (re[a] as number) - x;
        im[b] = (im[a] as number) - y;
        re[a] = (re[a] as number) + x;
        im[a] = (im[a] as number) + y;
      }
    }
  }
}
