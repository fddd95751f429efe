/** Sees every call of the real WebAssembly.instantiate. Imported by the setup, before anything loads a runtime. */
const original = WebAssembly.instantiate;

/** What was instantiated in this isolate, in order. */
export const instantiations: unknown[] = [];

export const instantiate = ((source: WebAssembly.Module, imports?: WebAssembly.Imports) => {
  instantiations.push(source);
  return original(source, imports);
}) as typeof original;

WebAssembly.instantiate = instantiate;
