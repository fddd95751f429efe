import { expect } from "vitest";

// A broken pool would run these files in Node without a word.
expect(navigator.userAgent).toBe("Cloudflare-Workers");
