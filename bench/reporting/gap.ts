/** What lies between the information bound and Dystri, for the report: what `npm run bench:gap` found. */
import type { GapFile } from "../gap/results.ts";
import { gapRows, MISSED_HEAD, missedTexts, RIGHT_HEAD, rightTexts, USERS } from "../gap/rows.ts";
import { markdownTable } from "./markdown.ts";

/** Beside the report. */
export const GAP_PICTURE = "gap.svg";

/** The report's section; empty where nothing was found out. */
export function gapText(file: GapFile): string {
  const rows = gapRows(file);
  if (rows.length === 0) return "";
  const cells = Object.keys(file.cells).length;
  const seeds = Math.max(...Object.values(file.cells).map((own) => Object.keys(own).length));
  return `## What lies between the bound and Dystri

\`npm run bench:gap\`: the same requests served by ever less knowledge, in ${cells} cells (${USERS.join(" and ")} users together), seeds of
each: ${seeds}. Right answers on time are scored by expectation, in % of the requests.

- **Scheduled, all known**: a schedule found for machines that neither interrupt nor batch, every arrival, journey, computation and
  confidence known beforehand; what it reaches can be reached.
- **As they arrive**: each request is placed for good when it comes, where those before it have left room and at whatever constant
  price of the machines' time does best; what comes later is not known.
- **Confidences unknown**: so is how sure the exits will be of an input.
- **Dystri, nothing varies**: journeys, bandwidths and computations take what they usually take, and a user's controller is asked in
  no time; Dystri's own code decides with what its controllers are told.

Dystri may be above a schedule where nodes batch and where it stops early; the bound counts on batches as large as there could
be, a schedule on none.

${markdownTable(RIGHT_HEAD, rightTexts(rows))}

![What each kind of knowledge is worth](${GAP_PICTURE})

*Expected right answers on time by what is known beforehand, against load; 8 and 32 users together.*

What has no answer on time, in % of the requests. None of these serves as many as it can: all look for right answers.

${markdownTable(MISSED_HEAD, missedTexts(rows))}
`;
}
