/** Stands in for functions/generated/catalogue.ts: the test application only, whatever is in models/. */
import type { Application } from "../../protocol/application.ts";
import tiny from "../fixtures/tiny/app.json";

export const applications: readonly Application[] = [tiny as Application];
