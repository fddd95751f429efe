import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Application, TokensPreprocessing } from "../../protocol/application.ts";
import { asDystriError } from "../../protocol/errors.ts";
import { parseApplication } from "../../nodes/parse-application.ts";
import { checkInput, exampleInput, leading, normalise } from "../../runtime/normalise.ts";
import { cutSegments, idsOf, tokensTensor, withPairs } from "../../runtime/text-tokens.ts";
import { tinyJson } from "./tiny.ts";

const encode = (value: string) => new TextEncoder().encode(value);

const mail: TokensPreprocessing = {
  kind: "tokens",
  segments: [
    { name: "subject", length: 4 },
    { name: "body", length: 6 },
  ],
  buckets: 1000,
};
const plain: TokensPreprocessing = { kind: "tokens", segments: [{ name: "text", length: 5 }], buckets: 65535 };

/** The fixture's ladder behind words. */
function behind(preprocessing: TokensPreprocessing, change: (json: Application) => void = () => {}): Application {
  const json = tinyJson() as Application;
  const length = preprocessing.segments.reduce((sum, segment) => sum + segment.length, 0) || 1;
  json.input = {
    name: "words",
    datatype: "UINT16",
    shape: [length],
    bytes: 2 * length,
    accepts: ["text/plain"],
    preprocessing,
  };
  change(json);
  return parseApplication(json);
}

const ids = (text: string, preprocessing = plain) => [...idsOf(tokensTensor(encode(text), preprocessing))];
const segments = (text: string) => cutSegments(text, mail.segments);

const errorOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return asDystriError(error);
  }
  throw new Error("nothing was thrown");
};

describe("words", () => {
  test("letters, digits and every other sign apart, A–Z as a–z", () => {
    expect(ids("Buy 2now!")).toEqual([...ids("buy 2"), ...ids("now !")].filter((id) => id > 0).concat(0));
    expect(ids("É")).not.toEqual(ids("é"));
    expect(ids("𝄞𝄞").filter((id) => id > 0)).toHaveLength(2);
  });

  test("FNV-1a by its published values", () => {
    // "a" is e40c292c, "foobar" is bf9cf968.
    expect(ids("a foobar")).toEqual([1 + (0xe40c292c % 65535), 1 + (0xbf9cf968 % 65535), 0, 0, 0]);
  });

  test("what is not UTF-8, or nothing, is refused; a text without a word is padding", () => {
    expect(errorOf(() => tokensTensor(Uint8Array.of(0xff), plain))).toMatchObject({ code: "bad_request" });
    expect(errorOf(() => tokensTensor(new Uint8Array(), plain))).toMatchObject({ code: "empty_body" });
    expect(ids(" \n\u00a0\ufeff")).toEqual([0, 0, 0, 0, 0]);
  });
});

describe("segments", () => {
  test.each([
    ["Subject: hello\n\nbody", [" hello", "body"]],
    ["Subject: hello\r\n\r\nbody\r\n", [" hello", "body\r\n"]],
    ["From: me\nSUBJECT:hello\nDate: x\n\nbody", ["hello", "body"]],
    ["Subject: one\n two\n\tthree\nTo: you\n not this\n\nbody", [" one two\tthree", "body"]],
    ["Subject: one\nSubject: two\n of two\n\nbody", [" one", "body"]],
    ["Subject: hello\nno head line", [" hello", "no head line"]],
    ["Subject: hello", [" hello", ""]],
    ["Subject:\n\n", ["", ""]],
    ["no subject\nSubject: late\n\nbody", ["", "no subject\nSubject: late\n\nbody"]],
    ["To: you\n\nbody", ["", "To: you\n\nbody"]],
    ["\nSubject: late", ["", "\nSubject: late"]],
    [" Subject: indented", ["", " Subject: indented"]],
    ["Subject : spaced\n\nbody", ["", "Subject : spaced\n\nbody"]],
    ["Body: mine\n\nbody", ["", "Body: mine\n\nbody"]],
    ["", ["", ""]],
  ])("%j", (text, parts) => {
    expect(segments(text)).toEqual(parts);
  });

  test("a byte order mark does not hide the subject", () => {
    expect(ids("\ufeffSubject: hi\n\nyou", mail)).toEqual(ids("Subject: hi\n\nyou", mail));
  });

  test("lie side by side, each cut and padded", () => {
    const [one, two] = [ids("one", mail)[4], ids("two", mail)[4]];
    expect(ids("Subject: one\n\ntwo", mail)).toEqual([one, 0, 0, 0, two, 0, 0, 0, 0, 0]);
    expect(ids("Subject: one one one one one\n\ntwo", mail).slice(0, 5)).toEqual([one, one, one, one, two]);
  });
});

describe("hostile text", () => {
  test.each([
    ["one long word", "a".repeat(1_000_000)],
    ["no word", " ".repeat(1_000_000)],
    ["head lines", "subject: a\n b\n".repeat(100_000)],
    ["one head line, many continuations", `subject:${"\n ".repeat(300_000)}`],
    ["carriage returns", `subject: a${"\r".repeat(300_000)}`],
    ["colons", ":".repeat(1_000_000)],
  ])("%s: read in a moment", (_what, text) => {
    const startedAt = performance.now();
    expect(ids(text, mail)).toHaveLength(10);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

describe("properties", () => {
  const anyText = fc.string({
    unit: fc.constantFrom(..."aZ09 :\n\r\té𝄞subject".split(""), "Subject:", "\n\n"),
    minLength: 1,
  });

  test("ids are in range, padding is at the end of a segment, words of one segment do not move the other", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const all = ids(text, mail);
        expect(all.every((id) => id >= 0 && id <= mail.buckets)).toBe(true);
        for (const part of [all.slice(0, 4), all.slice(4)]) {
          const end = part.indexOf(0);
          if (end >= 0) expect(part.slice(end).every((id) => id === 0)).toBe(true);
        }
      }),
    );
  });

  test("white space between words and the case of A–Z do not matter", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,5}$/), { maxLength: 8 }), (words) => {
        const text = ` ${words.join(" ")}`;
        expect(ids(`${text.toUpperCase().replaceAll(" ", "\n \t")}`)).toEqual(ids(text));
      }),
    );
  });

  test("cutting loses nothing of a text without a subject", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const [subject, body] = segments(text) as [string, string];
        if (!/^subject:/im.test(text)) expect([subject, body]).toEqual(["", text]);
      }),
    );
  });
});

describe("at the model", () => {
  test("ids become int64; take reads the front", () => {
    const x = normalise(behind(mail), tokensTensor(encode("Subject: a\n\nb"), mail));
    expect(x).toMatchObject({ type: "int64", dims: [1, 10] });
    expect(leading(x, 4)).toEqual({ type: "int64", data: x.data.slice(0, 4), dims: [1, 4] });
  });

  test("pairs stand beside the ids and never cross a segment; take reads whole rows", () => {
    const paired = { ...mail, bigramBuckets: 500 };
    const input = tokensTensor(encode("Subject: a b c d\n\na b"), paired);
    const x = normalise(behind(paired), input);
    expect(x.dims).toEqual([1, 10, 2]);
    const rows = Array.from(idsOf(input), (_, i) => [Number(x.data[2 * i]), Number(x.data[2 * i + 1])]);
    const [, b, , , a2, b2] = rows;
    expect(rows.map(([id]) => id)).toEqual([...idsOf(input)]);
    expect(rows[0]?.[1]).toBe(0);
    expect(a2?.[1]).toBe(0);
    expect(b?.[1]).toBeGreaterThan(0);
    expect(b2?.[1]).toBe(b?.[1]);
    expect(rows[6]).toEqual([0, 0]);
    expect(leading(x, 4)).toEqual({ type: "int64", data: x.data.slice(0, 8), dims: [1, 4, 2] });
    expect(leading(x, 4).data.buffer.byteLength).toBe(64);
    expect(leading(x, 10)).toBe(x);
  });

  test("an id beyond the buckets is refused wherever a tensor comes from", () => {
    const input = tokensTensor(encode("a"), mail);
    new DataView(input.bytes).setUint16(6, 1001, true);
    expect(errorOf(() => checkInput(behind(mail), input))).toMatchObject({
      code: "bad_tensor",
      details: { field: "id", value: "1001" },
    });
    new DataView(input.bytes).setUint16(6, 1000, true);
    checkInput(behind(mail), input);
  });

  test("the input that machines measure with is one", () => {
    const input = exampleInput(behind({ ...mail, buckets: 3 }));
    checkInput(behind({ ...mail, buckets: 3 }), input);
    expect(idsOf(input)).toHaveLength(10);
    expect(idsOf(input)).not.toContain(0);
  });
});

test.each<[string, Partial<TokensPreprocessing>, string]>([
  ["no segment", { segments: [] }, "input.preprocessing.segments"],
  ["a length of 0", { segments: [{ name: "text", length: 0 }] }, "input.preprocessing.segments[0].length"],
  ["buckets beyond 16 bits", { buckets: 65536 }, "input.preprocessing.buckets"],
  ["half a bucket for pairs", { bigramBuckets: 0.5 }, "input.preprocessing.bigramBuckets"],
  [
    "a name twice",
    { segments: [mail.segments[0], mail.segments[0]] as TokensPreprocessing["segments"] },
    "input.preprocessing.segments[1].name",
  ],
])("%s is refused", (_what, spoilt, named) => {
  expect(() => behind({ ...mail, ...spoilt })).toThrow(named);
});

test("the tensor's datatype, shape and take follow the segments", () => {
  const change = (edit: (json: Application) => void) => () => behind(mail, edit);
  expect(change((json) => Object.assign(json.input, { datatype: "UINT8", bytes: 10 }))).toThrow("input.datatype");
  expect(change((json) => Object.assign(json.input, { shape: [9], bytes: 18 }))).toThrow("input.shape");
  expect(change((json) => Object.assign(json.input, { bytes: 10 }))).toThrow("input.bytes");
  expect(change((json) => Object.assign(json.rungs[2] as object, { take: 11 }))).toThrow("rungs[2].take");
});

/** Written by models/training/common/tokens.py: python -m common.tokens. */
type Parity = {
  preprocessing: TokensPreprocessing;
  cases: { text: string; ids: number[]; pairs: number[] }[];
};
const parity = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "../fixtures/tokens/parity.json"), "utf8"),
) as Parity[];

test.each(parity)("the training code's ids, exactly ($preprocessing.segments.length segments)", (fixture) => {
  const { preprocessing, cases } = fixture;
  expect(cases.length).toBeGreaterThan(30);
  for (const { text, ids: wanted, pairs } of cases) {
    const found = idsOf(tokensTensor(encode(text), preprocessing));
    expect([...found], text).toEqual(wanted);
    const both = withPairs(found, preprocessing.segments, preprocessing.bigramBuckets as number);
    expect(
      [...both].filter((_, i) => i % 2 === 1),
      text,
    ).toEqual(pairs);
  }
});
