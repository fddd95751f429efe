/**
 * The gateway of one node: its hibernating socket, its waiting callers. A thin adapter: decisions are control/gateway's.
 *
 * Storage: key `memory` holds the node's registration, epoch and revocation (written when they change, never per
 * request); table `jti` holds the connect tokens taken in the last minute. What belongs to a connection lies in its
 * socket's attachment. The ledger is memory: when the object is lost, callers fall back and the socket goes on.
 *
 * The alarm rings every RENEW_EVERY_MS while there is a connection: it renews the node's registration at the
 * coordinator, and finds a node that fell silent while nobody asked for it.
 *
 * Close codes: 1002 protocol error, 1003 text, 1007 bad header, 1008 out of turn, 1009 too large, 4001 superseded,
 * 4002 no sign of life, 4003 revoked.
 */
import { DurableObject } from "cloudflare:workers";
import {
  Gateway,
  RENEW_EVERY_MS,
  type GatewayEffect,
  type GatewayLink,
  type GatewayMemory,
} from "../control/gateway.ts";
import { MAX_LIVES } from "../control/ledger.ts";
import { HEARTBEAT_MS } from "../control/liveness.ts";
import { clockOf } from "../functions/clock.ts";
import { coordinator } from "../functions/stubs.ts";
import type { Clock } from "../protocol/clock.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import type { NodeJob, NodeReply } from "../protocol/fleet.ts";
import { MAX_DEADLINE_MS } from "../protocol/limits.ts";
import { CONNECT_HEADERS } from "../protocol/node-connect.ts";
import { decodeMessage, encodeMessage, type ToAgent, type ToGateway } from "../protocol/node-messages.ts";
import type { GatewayStatus, NodeGatewayRpc } from "../protocol/services.ts";

type GatewayEnv = Pick<FleetEnv, "DYSTRI_CLOCK" | "COORDINATOR">;
type Waiter = { resolve: (reply: NodeReply) => void; timer: ReturnType<typeof setTimeout> };

const FROM_AGENT = ["hello", "answer", "refusal", "drain", "alive"] as const satisfies readonly ToGateway["kind"][];

export class NodeGateway extends DurableObject<GatewayEnv> implements NodeGatewayRpc {
  readonly #clock: Clock;
  readonly #gateway: Gateway;
  readonly #waiting = new Map<string, Waiter>();
  #saved: GatewayMemory;
  #socket: WebSocket | null = null;
  /** Runs while callers wait. */
  #watch: ReturnType<typeof setTimeout> | null = null;
  #reporting: Promise<void> | null = null;
  #reportWanted = false;

  constructor(ctx: DurableObjectState, env: GatewayEnv) {
    super(ctx, env);
    this.#clock = clockOf(env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS jti (jti TEXT PRIMARY KEY, expires_at INTEGER NOT NULL)");
    const name = ctx.id.name ?? ctx.id.toString();
    // Names are gw:<region>:<node>.
    const node = name.split(":").at(-1) ?? name;
    this.#saved = ctx.storage.kv.get<GatewayMemory>("memory") ?? { node, epoch: 0, registration: null, revoked: null };
    const link = this.#resume(this.#saved.epoch);
    this.#gateway = new Gateway(name, this.#saved, link, this.#clock.arrive());
    if (link) ctx.waitUntil(this.#armIfUnarmed());
  }

  /** The upgrade that the API Worker forwards after it has verified certificate and token; see CONNECT_HEADERS. */
  override async fetch(request: Request): Promise<Response> {
    const now = this.#clock.arrive();
    const node = request.headers.get(CONNECT_HEADERS.node);
    const jti = request.headers.get(CONNECT_HEADERS.jti);
    const expiresAt = Number(request.headers.get(CONNECT_HEADERS.tokenExpiresAt) ?? Number.NaN);
    const issuedAt = Number(request.headers.get(CONNECT_HEADERS.certificateIssuedAt) ?? Number.NaN);
    if (request.headers.get("Upgrade")?.toLowerCase() !== "websocket") {
      return refusal("upgrade_required", 426, "connect by WebSocket");
    }
    if (!node || !jti || !Number.isFinite(expiresAt) || !Number.isFinite(issuedAt)) {
      return refusal("bad_request", 400, "the upgrade did not come through the API");
    }
    if (!this.#gateway.accepts(issuedAt)) return refusal("forbidden", 403, "the node's certificate was revoked");
    if (!this.#useOnce(jti, expiresAt, now)) return refusal("conflict", 409, "the connect token was used before");

    this.#socket = null;
    this.#apply(this.#gateway.connect(node, now));
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    this.#socket = server;
    server.serializeAttachment(this.#gateway.link);
    this.#log("node_connected", {});
    await this.#arm();
    return new Response(null, { status: 101, webSocket: client });
  }

  async submit(job: NodeJob): Promise<NodeReply> {
    const now = this.#clock.arrive();
    this.#hearHeartbeat();
    const effects = this.#gateway.submit(job, now);
    const refused = effects.find((effect) => effect.do === "refuse");
    if (refused) {
      this.#apply(effects);
      return refused.reply;
    }
    return new Promise<NodeReply>((resolve) => {
      const waitMs = Math.min(job.remainingMs, MAX_DEADLINE_MS);
      const timer = setTimeout(() => {
        this.#hearHeartbeat();
        this.#apply(this.#gateway.expire(job.ticket, this.#clock.arrive()));
      }, waitMs);
      this.#waiting.set(job.ticket, { resolve, timer });
      this.#watchNode();
      this.#apply(effects);
    });
  }

  async cancel(ticket: string): Promise<void> {
    this.#apply(this.#gateway.cancel(ticket, this.#clock.arrive()));
  }

  async status(): Promise<GatewayStatus> {
    const now = this.#clock.arrive();
    this.#hearHeartbeat();
    return this.#gateway.status(now);
  }

  /** Resolves when no report of this node can reach the coordinator any more, so that it may be forgotten there. */
  async revoke(): Promise<void> {
    this.#apply(this.#gateway.revoke(this.#clock.arrive()));
    this.#socket = null;
    this.#log("node_revoked", {});
    await this.#reporting;
  }

  /** Armed anew before anything else: an alarm that throws is tried a few times and then never again. */
  override async alarm(): Promise<void> {
    const now = this.#clock.arrive();
    if (!this.#gateway.link) return;
    await this.#arm();
    try {
      this.#hearHeartbeat();
      this.#apply(this.#gateway.renew(now));
    } catch (error) {
      this.#log("alarm_failed", { detail: String(error) });
    }
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const now = this.#clock.arrive();
    const epoch = epochOf(socket);
    if (typeof message === "string") {
      this.#log("text_frame", { epoch });
      return this.#apply(this.#gateway.violation(epoch, 1003, 'the only text is "ping"', now));
    }
    const decoded = decodeMessage(message, FROM_AGENT);
    if (!decoded.ok) {
      this.#log("bad_frame", { epoch, code: decoded.error.code, detail: decoded.error.message });
      return this.#apply(this.#gateway.violation(epoch, decoded.error.closeCode, decoded.error.message, now));
    }
    this.#apply(this.#gateway.receive(epoch, decoded.value, now));
  }

  override async webSocketClose(socket: WebSocket, code: number): Promise<void> {
    this.#gone(socket, "node_disconnected", { code });
    closeQuietly(socket, code);
  }

  override async webSocketError(socket: WebSocket, error: unknown): Promise<void> {
    this.#gone(socket, "socket_failed", { detail: String(error) });
  }

  #gone(socket: WebSocket, event: string, fields: Record<string, unknown>): void {
    const epoch = epochOf(socket);
    this.#log(event, { epoch, ...fields });
    if (socket === this.#socket) this.#socket = null;
    this.#apply(this.#gateway.closed(epoch, this.#clock.arrive()));
  }

  /** Carries out what the machine decided, in order. */
  #apply(effects: readonly GatewayEffect[]): void {
    for (const effect of effects) {
      if (effect.do === "send") this.#send(effect.message);
      else if (effect.do === "settle") this.#settle(effect.ticket, effect.reply);
      else if (effect.do === "close") this.#close(effect.epoch, effect.code, effect.reason);
      else if (effect.do === "save") this.#save();
      else if (effect.do === "report") this.#report();
      else if (effect.do === "wake") this.#wake(effect.afterMs);
    }
  }

  #send(message: ToAgent): void {
    if (!this.#socket) return;
    try {
      this.#socket.send(encodeMessage(message.kind, message.sequence, message.header, message.payload));
    } catch (error) {
      // The socket closed under us and its close event is still to come: nothing sent now arrives.
      this.#gone(this.#socket, "send_failed", { detail: String(error) });
    }
  }

  #settle(ticket: string, reply: NodeReply): void {
    const waiter = this.#waiting.get(ticket);
    if (!waiter) return;
    this.#waiting.delete(ticket);
    clearTimeout(waiter.timer);
    waiter.resolve(reply);
    if (this.#waiting.size > 0 || this.#watch === null) return;
    clearTimeout(this.#watch);
    this.#watch = null;
  }

  /** A node that freezes closes no socket: nothing else would tell its callers while they still have time to go elsewhere. */
  #watchNode(): void {
    this.#watch ??= setTimeout(() => {
      this.#watch = null;
      this.#hearHeartbeat();
      this.#apply(this.#gateway.tick(this.#clock.arrive()));
      if (this.#waiting.size > 0) this.#watchNode();
    }, HEARTBEAT_MS);
  }

  #close(epoch: number, code: number, reason: string): void {
    for (const socket of this.ctx.getWebSockets()) {
      if (epochOf(socket) > epoch) continue;
      if (socket === this.#socket) this.#socket = null;
      closeQuietly(socket, code, reason);
    }
  }

  #save(): void {
    const { memory, link } = this.#gateway;
    if (memory !== this.#saved) this.ctx.storage.kv.put("memory", (this.#saved = memory));
    if (link) this.#socket?.serializeAttachment(link);
  }

  #wake(afterMs: number): void {
    setTimeout(() => {
      this.#hearHeartbeat();
      this.#apply(this.#gateway.tick(this.#clock.arrive()));
    }, afterMs);
  }

  #arm(): Promise<void> {
    return this.ctx.storage.setAlarm(this.#clock.now() + RENEW_EVERY_MS);
  }

  /** An alarm that was lost is set again by whatever woke the object. */
  async #armIfUnarmed(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.#arm();
  }

  /** In the background, one at a time, the latest state last. */
  #report(): void {
    this.#reportWanted = true;
    if (this.#reporting) return;
    this.#reporting = this.#sendReports().finally(() => (this.#reporting = null));
    this.ctx.waitUntil(this.#reporting);
  }

  async #sendReports(): Promise<void> {
    while (this.#reportWanted) {
      this.#reportWanted = false;
      const report = this.#gateway.report(this.#clock.now());
      if (!report) return;
      try {
        await this.#clock.settled(coordinator(this.env).reportGateway(report));
      } catch (error) {
        this.#log("report_failed", { detail: String(error) });
      }
    }
  }

  /** The socket that outlived this object's memory, if any; its next sequences are new ones. */
  #resume(epoch: number): GatewayLink | null {
    for (const socket of this.ctx.getWebSockets()) {
      const link = socket.deserializeAttachment() as GatewayLink | null;
      if (link?.epoch !== epoch || socket.readyState !== WebSocket.OPEN) continue;
      const resumed: GatewayLink = { ...link, life: (link.life + 1) % MAX_LIVES };
      socket.serializeAttachment(resumed);
      this.#socket = socket;
      return resumed;
    }
    return null;
  }

  /** Heartbeats are answered by the runtime without waking the object; it keeps the time of the last one. */
  #hearHeartbeat(): void {
    const at = this.#socket && this.ctx.getWebSocketAutoResponseTimestamp(this.#socket);
    if (at) this.#gateway.heard(at.getTime());
  }

  /** False when the token was taken before. Tokens past their life need not be remembered: they are refused as expired. */
  #useOnce(jti: string, expiresAt: number, now: number): boolean {
    const { sql } = this.ctx.storage;
    sql.exec("DELETE FROM jti WHERE expires_at <= ?", now);
    return (
      sql.exec("INSERT OR IGNORE INTO jti (jti, expires_at) VALUES (?, ?) RETURNING jti", jti, expiresAt).toArray()
        .length > 0
    );
  }

  #log(event: string, fields: Record<string, unknown>): void {
    const { node, epoch } = this.#gateway.memory;
    console.log(JSON.stringify({ event, component: "node-gateway", node, epoch, ...fields }));
  }
}

/** −1 for a socket that was never given one. */
function epochOf(socket: WebSocket): number {
  return (socket.deserializeAttachment() as GatewayLink | null)?.epoch ?? -1;
}

/** Closes, or completes the other side's close, which would otherwise wait for an answer. */
function closeQuietly(socket: WebSocket, code: number, reason?: string): void {
  try {
    // 1005 and 1006 say that there was no code; they may be received but not sent.
    socket.close(code === 1005 || code === 1006 ? 1000 : code, reason);
  } catch {
    // It is closed already.
  }
}

function refusal(code: ErrorCode, status: number, detail: string): Response {
  return Response.json({ code, detail }, { status });
}
