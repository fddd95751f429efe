/** Keys that look right and are not. */
import { env } from "cloudflare:workers";
import { formatApiKey, KeyMint, parseApiKey, type ApiKey } from "../../protocol/api-keys.ts";

function partsOf(text: string): ApiKey {
  const parsed = parseApiKey(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.key;
}

/** From two good keys: one of a handle the service never made, one of a wrong MAC, one of the first's handle with the second's secret. */
export async function mixKeys(
  first: string,
  second: string,
): Promise<{ unknownHandle: string; wrongMac: string; wrongSecret: string }> {
  const [a, b] = [partsOf(first), partsOf(second)];
  const { DYSTRI_KEY_SECRET } = env as ApiEnv;
  // The right MAC for a handle that no controller knows: as far as a key can get without being one.
  const { text } = await new KeyMint("test", DYSTRI_KEY_SECRET).mint("0000000000");
  return {
    unknownHandle: text,
    wrongMac: formatApiKey({ ...a, mac: b.mac }),
    wrongSecret: formatApiKey({ ...a, secret: b.secret }),
  };
}
