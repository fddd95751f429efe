/**
 * Joins the stages of one chain into a single ONNX graph, so that staged execution can be held against the monolith it
 * was cut from. Works on the protobuf bytes: of onnx.proto only the fields that carry names are looked into, everything
 * else is copied as it is. Stages have one input `x` and outputs `logits` and, but for the last, `feat`.
 */

/** Field numbers of onnx.proto (IR version 10). */
const MODEL = { graph: 7 };
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12, valueInfo: 13 };
const NODE = { input: 1, output: 2, name: 3, attribute: 5 };
const NAME_OF = { valueInfo: 1, tensor: 8 };

type Field = { number: number; wire: number; bytes: Uint8Array };

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const encoded = (value: string): Uint8Array => new TextEncoder().encode(value);

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

/** The fields of a message in order. `bytes` is the payload; for varints and fixed numbers, as they stand. */
function fields(message: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("the ONNX file ends within a number");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = read();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    const from = at;
    if (wire === 0) read();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = read();
      found.push({ number, wire, bytes: message.subarray(at, (at += length)) });
      continue;
    } else throw new Error(`the ONNX file has a field of wire type ${wire}`);
    found.push({ number, wire, bytes: message.subarray(from, at) });
  }
  return found;
}

function message(parts: readonly Field[]): Uint8Array {
  const chunks = parts.flatMap(({ number, wire, bytes }) => [
    Uint8Array.from([...varint(number * 8 + wire), ...(wire === 2 ? varint(bytes.length) : [])]),
    bytes,
  ]);
  return new Uint8Array(Buffer.concat(chunks));
}

const stringField = (number: number, value: string): Field => ({ number, wire: 2, bytes: encoded(value) });

type Rename = (name: string) => string;

/** A message whose field `number` is a name, renamed. */
const renamed = (bytes: Uint8Array, number: number, rename: Rename): Uint8Array =>
  message(
    fields(bytes).map((field) => (field.number === number ? stringField(number, rename(text(field.bytes))) : field)),
  );

function renamedNode(bytes: Uint8Array, rename: Rename): Uint8Array {
  const named: number[] = [NODE.input, NODE.output, NODE.name];
  return message(
    fields(bytes).map((field) => {
      if (field.number === NODE.attribute && fields(field.bytes).some(({ number }) => number === 6 || number === 11)) {
        throw new Error("a stage holds a subgraph, which cannot be renamed here");
      }
      // An empty name stands for an input that is not given.
      return named.includes(field.number) && field.bytes.length > 0
        ? stringField(field.number, rename(text(field.bytes)))
        : field;
    }),
  );
}

/** One model that runs `stages` in order and answers `logits0`, `logits1`, …: what the chain's exits say. */
export function chainOnnx(stages: readonly Uint8Array[]): Uint8Array {
  const graph: Field[] = [];
  stages.forEach((stage, k) => {
    const rename: Rename = (name) => {
      if (name === "x") return k === 0 ? "x" : `feat${k - 1}`;
      if (name === "feat" || name === "logits") return `${name}${k}`;
      return `stage${k}/${name}`;
    };
    const body = fields(stage).find(({ number }) => number === MODEL.graph);
    if (!body) throw new Error(`stage ${k} is no ONNX model`);
    for (const field of fields(body.bytes)) {
      const { number, bytes } = field;
      const named = (at: number) => ({ ...field, bytes: renamed(bytes, at, rename) });
      const valueName = (): string =>
        text(fields(bytes).find((f) => f.number === NAME_OF.valueInfo)?.bytes ?? new Uint8Array());
      if (number === GRAPH.node) graph.push({ ...field, bytes: renamedNode(bytes, rename) });
      else if (number === GRAPH.initializer) graph.push(named(NAME_OF.tensor));
      else if (number === GRAPH.valueInfo) graph.push(named(NAME_OF.valueInfo));
      else if (number === GRAPH.input && k === 0) graph.push(named(NAME_OF.valueInfo));
      else if (number === GRAPH.output && valueName() === "logits") graph.push(named(NAME_OF.valueInfo));
    }
  });
  const [first] = stages;
  if (!first) throw new Error("a chain has at least one stage");
  const whole: Field = { number: MODEL.graph, wire: 2, bytes: message([...graph, stringField(GRAPH.name, "chain")]) };
  return message(fields(first).map((field) => (field.number === MODEL.graph ? whole : field)));
}
