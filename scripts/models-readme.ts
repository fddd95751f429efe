/**
 * `npm run models:readme`: writes the generated pages of models/ (model-pages.ts says which) from app.json and
 * evaluation.json. With `--check` it writes nothing. Exit status 1 when a page is out of date, or cannot be made.
 */
import { outOfDate, writePages } from "./model-pages.ts";

let problems: string[];
if (process.argv.includes("--check")) {
  problems = await outOfDate();
} else {
  const result = await writePages();
  for (const page of result.written) console.log(`wrote ${page}`);
  problems = result.problems;
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
