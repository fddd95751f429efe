/** Addresses, methods and parameters that there are not. */
import { beforeAll, describe, it } from "vitest";
import {
  expectRefusal,
  image,
  json,
  newCaller,
  tensor,
  withHeaders,
  type BadInput,
  type Caller,
} from "./bad-input-fixture.ts";
import { bearer, INFER, PLAN } from "./client.ts";

let caller: Caller;
beforeAll(async () => {
  caller = await newCaller();
});

const CASES: BadInput[] = [
  {
    name: "an unknown application",
    path: "/v1/infer/shoes",
    init: image,
    status: 404,
    code: "unknown_application",
    field: "path",
    value: "shoes",
  },
  {
    name: "an unknown application to plan for",
    path: "/v1/plan/shoes",
    init: image,
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "an unknown model",
    path: "/v2/models/shoes/infer",
    init: json("{}"),
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "an application named like a property",
    path: "/v1/infer/__proto__",
    init: image,
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "another version",
    path: "/v2/models/tiny/versions/9/infer",
    init: json(tensor()),
    status: 404,
    code: "unknown_application",
    field: "path",
    value: "9",
  },
  {
    name: "a path of broken percent signs",
    path: "/v1/infer/%E0%A4%A",
    init: image,
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  ...["soon", "NaN", "0", "-5", "1e9", "999999999", "", "0x10"].flatMap((value): BadInput[] => [
    {
      name: `deadline ${value}`,
      path: `${INFER}?deadline_ms=${value}`,
      init: image,
      status: 400,
      code: "bad_deadline",
      field: "query deadline_ms",
      value,
    },
    {
      name: `deadline ${value} to plan for`,
      path: `${PLAN}?deadline_ms=${value}`,
      init: image,
      status: 400,
      code: "bad_deadline",
      field: "query deadline_ms",
      value,
    },
  ]),
  {
    name: "a deadline header that cannot be read",
    path: INFER,
    init: withHeaders({ "dystri-deadline-ms": "x" }),
    status: 400,
    code: "bad_deadline",
    field: "header Dystri-Deadline-Ms",
  },
  {
    name: "a wish that cannot be granted",
    path: `${INFER}?tier=cloud`,
    init: image,
    status: 400,
    code: "bad_parameter",
    field: "query tier",
    value: "cloud",
  },
  {
    name: "an unknown parameter",
    path: `${INFER}?deadlin_ms=80`,
    init: image,
    status: 400,
    code: "bad_parameter",
    field: "query deadlin_ms",
  },
  {
    name: "another method",
    path: INFER,
    init: ({ key }) => ({ headers: bearer(key) }),
    status: 405,
    code: "method_not_allowed",
    field: "method",
    value: "GET",
  },
  {
    name: "another method on metadata",
    path: "/v2/models/tiny",
    init: () => ({ method: "DELETE" }),
    status: 405,
    code: "method_not_allowed",
    field: "method",
    value: "DELETE",
  },
  {
    name: "another method on health",
    path: "/v2/health/live",
    init: () => ({ method: "PUT" }),
    status: 405,
    code: "method_not_allowed",
    field: "method",
    value: "PUT",
  },
  {
    name: "an unknown address",
    path: "/v1/nothing",
    init: () => ({}),
    status: 404,
    code: "not_found",
    field: "path",
    value: "/v1/nothing",
  },
];

describe("bad input", () => {
  it.each(CASES)("$name → $status $code", (input) => expectRefusal(caller, input));
});
