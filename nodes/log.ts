/** One JSON line per event on stderr. Never put a token, key or payload into `fields`. */
export function log(component: string, event: string, fields: Record<string, unknown> = {}): void {
  process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), component, event, ...fields })}\n`);
}

/** A mistake in how the agent was started or installed: the message is a plain sentence that says what to change. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}
