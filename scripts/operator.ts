/** What an operator of a running system does over HTTP: users, nodes, and asking whether it is ready. */

export class Operator {
  /** Base URL of the API, without a slash at the end. */
  readonly url: string;
  readonly adminToken: string;

  constructor(url: string, adminToken: string) {
    this.url = url;
    this.adminToken = adminToken;
  }

  /** A request with the operator's token. Rejects when the answer is not 2xx, with the problem's text. */
  async request<T>(method: string, route: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.adminToken}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    const response = await fetch(this.url + route, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${text.slice(0, 500)}`);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  async createUser(): Promise<{ apiKey: string }> {
    const { key } = await this.request<{ key: string }>("POST", "/v1/users", {});
    return { apiKey: key };
  }

  /** A one-off token for a node of that name. */
  async mintEnrolment(node: string): Promise<string> {
    return (await this.request<{ token: string }>("POST", "/v1/nodes/enrolments", { node })).token;
  }

  /** The coordinator's word for it: online, draining, offline; null when it knows no such node. */
  async nodeState(node: string): Promise<string | null> {
    const { nodes } = await this.request<{ nodes: { node: string; state: string }[] }>("GET", "/v1/nodes");
    return nodes.find((entry) => entry.node === node)?.state ?? null;
  }

  /** Null when the models of every inference Worker are loaded and warm, which asking also brings about; else why not. */
  async unreadiness(): Promise<string | null> {
    const response = await fetch(`${this.url}/v2/health/ready`);
    const text = await response.text();
    return response.ok ? null : `${response.status} ${text.slice(0, 300)}`;
  }
}
