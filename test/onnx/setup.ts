import { expect } from "vitest";
import "./instantiations.ts";

// A broken pool would run these files in Node, where everything else would still look right.
expect(navigator.userAgent).toBe("Cloudflare-Workers");
